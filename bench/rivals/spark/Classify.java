import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Iterator;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;

/** Classify INPUT OUTPUT ENDPOINT [BATCH_ROWS] [VECTOR] [RUNS]: Parquet rows, scored over HTTP, to Parquet. */
public class Classify {
  /** One client for all tasks of this executor. */
  private static final class Client {
    static final HttpClient INSTANCE = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  }

  /** Pulls a batch of rows, waits for its scores, hands the rows out one by one: the usual blocking iterator. */
  private static final class Scored implements Iterator<Row> {
    private final Iterator<Row> input;
    private final URI endpoint;
    private final int batchRows;
    private final String vector;
    private final ArrayList<Row> rows = new ArrayList<>();
    private ByteBuffer scores;
    private int next = 0;

    Scored(Iterator<Row> input, URI endpoint, int batchRows, String vector) {
      this.input = input;
      this.endpoint = endpoint;
      this.batchRows = batchRows;
      this.vector = vector;
    }

    @Override
    public boolean hasNext() {
      if (next == rows.size() && input.hasNext()) fetch();
      return next < rows.size();
    }

    @Override
    public Row next() {
      Row row = rows.get(next);
      Object[] values = new Object[row.size() + 1];
      for (int i = 0; i < row.size(); i++) values[i] = row.get(i);
      values[row.size()] = scores.getFloat(4 * next++);
      return RowFactory.create(values);
    }

    private void fetch() {
      rows.clear();
      next = 0;
      ByteBuffer body = null;
      while (rows.size() < batchRows && input.hasNext()) {
        Row row = input.next();
        scala.collection.Seq<Float> features = row.getSeq(row.fieldIndex(vector));
        int length = features.length();
        if (body == null) body = ByteBuffer.allocate(4 * length * batchRows).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < length; i++) body.putFloat(features.apply(i));
        rows.add(row);
      }
      HttpRequest request = HttpRequest.newBuilder(endpoint)
          .PUT(HttpRequest.BodyPublishers.ofByteArray(body.array(), 0, body.position()))
          .build();
      try {
        HttpResponse<byte[]> response = Client.INSTANCE.send(request, HttpResponse.BodyHandlers.ofByteArray());
        if (response.statusCode() != 200 || response.body().length != 4 * rows.size()) {
          throw new IOException("status " + response.statusCode() + ", " + response.body().length + " bytes");
        }
        scores = ByteBuffer.wrap(response.body()).order(ByteOrder.LITTLE_ENDIAN);
      } catch (IOException | InterruptedException e) {
        throw new RuntimeException(e);
      }
    }
  }

  public static void main(String[] args) {
    String input = args[0];
    String output = args[1];
    URI endpoint = URI.create(args[2]);
    int batchRows = args.length > 3 ? Integer.parseInt(args[3]) : 1000;
    String vector = args.length > 4 ? args[4] : "features";
    int runs = args.length > 5 ? Integer.parseInt(args[5]) : 1;
    SparkSession spark = Run.session("classify");
    for (int run = 0; run < runs; run++) {
      Run.timed("classify", () -> {
        Dataset<Row> rows = spark.read().parquet(input);
        StructType schema = rows.schema().add("score", DataTypes.FloatType, false);
        MapPartitionsFunction<Row, Row> score = partition -> new Scored(partition, endpoint, batchRows, vector);
        rows.mapPartitions(score, Encoders.row(schema)).write().mode("overwrite").parquet(output);
      });
    }
    spark.stop();
  }
}
