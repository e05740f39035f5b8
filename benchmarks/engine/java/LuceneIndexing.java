import com.fasterxml.jackson.databind.JsonNode;
import java.io.BufferedReader;
import java.io.BufferedInputStream;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.lucene.analysis.core.WhitespaceAnalyzer;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.FeatureField;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.FieldType;
import org.apache.lucene.document.NumericDocValuesField;
import org.apache.lucene.document.StoredField;
import org.apache.lucene.index.IndexOptions;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.LogByteSizeMergePolicy;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.store.MMapDirectory;

/** Writes an index of one segment: FeatureField for vectors, TextField-like for tokens. */
final class LuceneIndexing {
  static final String FIELD = "body";
  static final String ID = "id";
  static final String NUMBER = "number";

  static void build(JsonNode request, Path folder) throws Exception {
    IndexWriterConfig config = new IndexWriterConfig(new WhitespaceAnalyzer());
    config.setSimilarity(new BM25Similarity(0.9f, 0.4f));
    config.setRAMBufferSizeMB(1024);
    config.setUseCompoundFile(false);
    config.setMergePolicy(new LogByteSizeMergePolicy()); // keeps records in their order
    try (MMapDirectory directory = new MMapDirectory(folder);
        IndexWriter writer = new IndexWriter(directory, config)) {
      if (request.get("kind").asText().equals("impacts")) {
        addVectors(request, writer);
      } else {
        addTokens(request, writer);
      }
      writer.forceMerge(1);
      writer.commit();
    }
  }

  private static Document withId(int number) {
    Document document = new Document();
    document.add(new StoredField(ID, Integer.toString(number)));
    document.add(new NumericDocValuesField(NUMBER, number));
    return document;
  }

  private static void addTokens(JsonNode request, IndexWriter writer) throws Exception {
    FieldType type = new FieldType();
    type.setIndexOptions(IndexOptions.DOCS_AND_FREQS);
    type.setTokenized(true);
    type.freeze();
    try (BufferedReader lines = Files.newBufferedReader(Path.of(request.get("tokens").asText()))) {
      int number = 0;
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        Document document = withId(number++);
        document.add(new Field(FIELD, line, type));
        writer.addDocument(document);
      }
    }
  }

  /** Rows: uint32 n; per row uint32 nnz, uint32 dimensions[nnz], float32 values[nnz]. */
  private static void addVectors(JsonNode request, IndexWriter writer) throws Exception {
    List<String> terms = Files.readAllLines(Path.of(request.get("vocabulary").asText()));
    Path path = Path.of(request.get("rows_bin").asText());
    try (InputStream input = new BufferedInputStream(Files.newInputStream(path), 1 << 20)) {
      int count = word(input.readNBytes(4)).getInt();
      for (int number = 0; number < count; number++) {
        int size = word(input.readNBytes(4)).getInt();
        ByteBuffer row = word(input.readNBytes(8 * size));
        Document document = withId(number);
        for (int at = 0; at < size; at++) {
          String term = terms.get(row.getInt(4 * at));
          document.add(new FeatureField(FIELD, term, row.getFloat(4 * (size + at))));
        }
        writer.addDocument(document);
      }
    }
  }

  private static ByteBuffer word(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
