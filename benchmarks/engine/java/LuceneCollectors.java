import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import org.apache.lucene.search.Collector;
import org.apache.lucene.search.CollectorManager;
import org.apache.lucene.search.FieldDoc;
import org.apache.lucene.search.TopDocs;
import org.apache.lucene.search.TopScoreDocCollector;

/** The k best hits without counting further ones, in Lucene 9 and in Lucene 10. */
final class LuceneCollectors {
  private static final MethodHandle MAKE = find();

  private static MethodHandle find() {
    MethodHandles.Lookup lookup = MethodHandles.publicLookup();
    try {
      Class<?> manager =
          Class.forName("org.apache.lucene.search.TopScoreDocCollectorManager");
      MethodType type = MethodType.methodType(void.class, int.class, int.class);
      return lookup.findConstructor(manager, type);
    } catch (ReflectiveOperationException absent) {
      return older(lookup);
    }
  }

  private static MethodHandle older(MethodHandles.Lookup lookup) {
    try {
      MethodType type =
          MethodType.methodType(CollectorManager.class, int.class, FieldDoc.class, int.class);
      MethodHandle make =
          lookup.findStatic(TopScoreDocCollector.class, "createSharedManager", type);
      return MethodHandles.insertArguments(make, 1, (Object) null);
    } catch (ReflectiveOperationException unknown) {
      throw new IllegalStateException("an unknown version of Lucene", unknown);
    }
  }

  @SuppressWarnings("unchecked")
  static CollectorManager<? extends Collector, TopDocs> topHits(int k) {
    try {
      return (CollectorManager<? extends Collector, TopDocs>) MAKE.invoke(k, k);
    } catch (Throwable failure) {
      throw new IllegalStateException(failure);
    }
  }

  private LuceneCollectors() {}
}
