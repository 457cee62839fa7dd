// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueCounters;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The split ring alone: one thread is the driver and the device in turn on a queue of 256, with
 * every check that a hostile driver makes necessary and every barrier that two threads would need.
 * The figure is the time of one request, both sides together.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {"-XX:+UseSerialGC", "-Xmx256m", "--enable-native-access=ALL-UNNAMED"})
public class RingBenchmark {
  private static final int QUEUE_SIZE = 256;
  private static final int REQUESTS = 1024;

  /** How a request lies in the ring. */
  @Param({"SINGLE", "CHAIN", "INDIRECT"})
  public String shape;

  /** How many requests go together, one notification check for all. */
  @Param({"1", "32"})
  public int batch;

  /** Whether VIRTIO_F_EVENT_IDX was negotiated. */
  @Param({"false", "true"})
  public boolean eventIdx;

  private Arena arena;
  private RingDriver driver;
  private DeviceQueue queue;

  /** Makes the ring. */
  @Setup(Level.Trial)
  public void open() throws PeerFault {
    arena = Arena.ofConfined();
    long bytes = RingDriver.memorySize(QUEUE_SIZE);
    long base = arena.allocate(bytes, 4096).address();
    driver = new RingDriver(QUEUE_SIZE, base, RingDriver.Shape.valueOf(shape), eventIdx);
    FeatureBits features =
        FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1, ReservedFeatures.VIRTIO_F_INDIRECT_DESC)
            .withIf(eventIdx, ReservedFeatures.VIRTIO_F_EVENT_IDX);
    queue =
        new QueueLayout(QUEUE_SIZE, driver.desc(), driver.avail(), driver.used(), 0)
            .open(
                0,
                QUEUE_SIZE,
                features,
                GuestMemory.of(List.of(new MemoryRegion(base, bytes, base))),
                false,
                new QueueCounters());
  }

  /** Frees it. */
  @TearDown(Level.Trial)
  public void close() {
    queue.close();
    arena.close();
  }

  /** Requests of one queue, there and back. */
  @Benchmark
  @OperationsPerInvocation(REQUESTS)
  public long requests() throws PeerFault {
    long sum = 0;
    for (int done = 0; done < REQUESTS; done += batch) {
      sum += driver.submit(batch) ? 1 : 0;
      sum += serve() ? 1 : 0;
      sum += driver.reap(batch);
    }
    return sum;
  }

  /** What a device host does when it was notified. */
  private boolean serve() throws PeerFault {
    queue.disableNotifications();
    DescriptorChain chain;
    while ((chain = queue.pop()) != null) {
      queue.push(chain, chain.writableLength());
    }
    boolean due = queue.publish();
    if (!queue.enableNotifications()) {
      throw new IllegalStateException("a buffer that nobody made available");
    }
    return due;
  }
}
