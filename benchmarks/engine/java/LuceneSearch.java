import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.lucene.document.FeatureField;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.NumericDocValues;
import org.apache.lucene.index.StoredFields;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.BooleanClause;
import org.apache.lucene.search.BooleanQuery;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.Query;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.search.TermQuery;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.store.MMapDirectory;

/** Searches one segment with a BooleanQuery of SHOULD clauses, with dynamic pruning from k hits on. */
final class LuceneSearch {
  private final IndexSearcher searcher;
  private final boolean impacts;
  private final Map<String, Float> weights = new HashMap<>();
  private final List<String> strings = new ArrayList<>();
  private final List<Query> prepared = new ArrayList<>();

  LuceneSearch(JsonNode request, Path folder) throws Exception {
    DirectoryReader reader = DirectoryReader.open(new MMapDirectory(folder));
    if (reader.leaves().size() != 1) {
      throw new IllegalStateException("segments: " + reader.leaves().size());
    }
    searcher = new IndexSearcher(reader);
    searcher.setSimilarity(new BM25Similarity(0.9f, 0.4f));
    searcher.setQueryCache(null);
    impacts = request.get("kind").asText().equals("impacts");
    JsonNode content = new ObjectMapper().readTree(Path.of(request.get("queries").asText()).toFile());
    JsonNode tokens = content.get("tokens");
    for (int query = 0; query < tokens.size(); query++) {
      List<String> words = new ArrayList<>();
      for (int at = 0; at < tokens.get(query).size(); at++) {
        words.add(tokens.get(query).get(at).asText());
        if (impacts) {
          weights.put(words.get(at), (float) content.get("weights").get(query).get(at).asDouble());
        }
      }
      strings.add(String.join(" ", words));
      prepared.add(parse(strings.get(query)));
    }
  }

  int size() {
    return strings.size();
  }

  /** Words between spaces; for vectors each with its query weight. */
  private Query parse(String text) {
    BooleanQuery.Builder builder = new BooleanQuery.Builder();
    for (String word : text.split(" ")) {
      if (!word.isEmpty()) {
        builder.add(clause(word), BooleanClause.Occur.SHOULD);
      }
    }
    return builder.build();
  }

  private Query clause(String word) {
    return impacts
        ? FeatureField.newLinearQuery(LuceneIndexing.FIELD, word, weights.get(word))
        : new TermQuery(new Term(LuceneIndexing.FIELD, word));
  }

  int[] search(String cell, int number, int k) throws Exception {
    boolean kernel = cell.equals("kernel");
    Query query = kernel ? prepared.get(number) : parse(strings.get(number));
    ScoreDoc[] hits = searcher.search(query, LuceneCollectors.topHits(k)).scoreDocs;
    int[] found = new int[hits.length];
    if (kernel) {
      for (int rank = 0; rank < hits.length; rank++) {
        found[rank] = hits[rank].doc;
      }
    } else if (cell.equals("whole")) {
      StoredFields stored = searcher.storedFields();
      Set<String> fields = Set.of(LuceneIndexing.ID);
      for (int rank = 0; rank < hits.length; rank++) {
        String id = stored.document(hits[rank].doc, fields).get(LuceneIndexing.ID);
        found[rank] = Integer.parseInt(id);
      }
    } else {
      for (int rank = 0; rank < hits.length; rank++) {
        // Doc values are read forwards only; hits come by score.
        NumericDocValues values =
            searcher.getIndexReader().leaves().get(0).reader().getNumericDocValues("number");
        values.advanceExact(hits[rank].doc);
        found[rank] = (int) values.longValue();
      }
    }
    return found;
  }
}
