import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.lucene.util.Version;

/**
 * Lucene as an engine of benchmarks/engines/protocol.py, timed inside the JVM.
 *
 * <p>Argument: the JSON request. Cells: "kernel" is a prepared Query to document numbers, "whole" a
 * query string to stored ids, "whole-doc-values" the same with ids from doc values.
 */
public final class LuceneEngine {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long WARM_NANOS = 4_000_000_000L;

  public static void main(String[] arguments) throws Exception {
    PrintStream output = System.out;
    System.setOut(System.err);
    JsonNode request = JSON.readTree(arguments[0]);
    Path folder = Path.of(request.get("folder").asText());
    Path stamp = folder.resolve("built.json");
    if (request.get("phase").asText().equals("build")) {
      if (!Files.exists(stamp)) {
        build(request, folder, stamp);
      }
      return;
    }
    LuceneSearch search = new LuceneSearch(request, folder);
    List<String> cells = List.of("kernel", "whole", "whole-doc-values");
    for (String cell : cells) {
      for (int k : new int[] {10, 100, 1000}) {
        long begin = System.nanoTime();
        while (System.nanoTime() - begin < WARM_NANOS) {
          pass(search, cell, k);
        }
      }
    }
    Map<String, Object> described = new LinkedHashMap<>();
    for (String cell : cells) {
      String boundary = cell.equals("kernel") ? "kernel" : "whole";
      String setting = cell.equals("whole-doc-values") ? "ids from doc values" : "";
      described.put(cell, Map.of("boundary", boundary, "setting", setting));
    }
    reply(output, Map.of("cells", described));
    BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      reply(output, answer(search, JSON.readTree(line), stamp));
    }
  }

  private static void build(JsonNode request, Path folder, Path stamp) throws Exception {
    Files.createDirectories(folder);
    long begin = System.nanoTime();
    LuceneIndexing.build(request, folder);
    Map<String, Object> recorded = new LinkedHashMap<>();
    recorded.put("version", "Lucene " + Version.LATEST + ", Java " + Runtime.version());
    recorded.put("build_seconds", (System.nanoTime() - begin) / 1e9);
    long size = 0;
    try (var files = Files.list(folder)) {
      for (Path path : (Iterable<Path>) files::iterator) {
        size += Files.size(path);
      }
    }
    recorded.put("index_bytes", size);
    recorded.put("build_peak_rss_bytes", peakRss());
    Files.writeString(stamp, JSON.writeValueAsString(recorded));
  }

  private static Map<String, Object> answer(LuceneSearch search, JsonNode command, Path stamp)
      throws Exception {
    if (command.get("command").asText().equals("info")) {
      Map<String, Object> info =
          JSON.readValue(stamp.toFile(), new TypeReference<Map<String, Object>>() {});
      info.put("peak_rss_bytes", peakRss());
      return info;
    }
    String cell = command.get("cell").asText();
    int k = command.get("k").asInt();
    switch (command.get("command").asText()) {
      case "pass":
        return Map.of("times", pass(search, cell, k));
      case "results":
        List<int[]> results = new ArrayList<>();
        int limit = Math.min(search.size(), command.get("limit").asInt());
        for (int query = 0; query < limit; query++) {
          results.add(search.search(cell, query, k));
        }
        return Map.of("results", results);
      default:
        return Map.of("seconds", throughput(search, cell, k, command.get("threads").asInt()));
    }
  }

  private static long[] pass(LuceneSearch search, String cell, int k) throws Exception {
    long[] times = new long[search.size()];
    for (int query = 0; query < times.length; query++) {
      long begin = System.nanoTime();
      search.search(cell, query, k);
      times[query] = System.nanoTime() - begin;
    }
    return times;
  }

  private static double throughput(LuceneSearch search, String cell, int k, int threads)
      throws Exception {
    try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
      long begin = System.nanoTime();
      List<Future<?>> shares = new ArrayList<>();
      for (int thread = 0; thread < threads; thread++) {
        int first = thread;
        shares.add(
            pool.submit(
                () -> {
                  for (int query = first; query < search.size(); query += threads) {
                    search.search(cell, query, k);
                  }
                  return null;
                }));
      }
      for (Future<?> share : shares) {
        share.get();
      }
      return (System.nanoTime() - begin) / 1e9;
    }
  }

  private static long peakRss() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
      }
    }
    return 0;
  }

  private static void reply(PrintStream output, Object message) throws Exception {
    output.println(JSON.writeValueAsString(message));
    output.flush();
  }
}
