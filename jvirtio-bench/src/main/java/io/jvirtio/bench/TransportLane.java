// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.drivers.blk.BlkDriverType;
import io.jvirtio.drivers.blk.BlkIo;
import io.jvirtio.drivers.blk.BlkQueue;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * One measurement of {@link TransportBench}, in a process of its own: one read of 4 KiB after the
 * other, on the thread that owns the queue.
 */
public final class TransportLane {
  private static final int BLOCK = 4096;
  private static final int BATCH = 16;
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final BlkQueue queue;
  private final QueueOwner owner;
  private final BlkIo io;
  private final MemorySegment data;
  private final long blocks;
  private long next;

  private TransportLane(BlkDriver driver, QueueOwner owner) throws IOException {
    this.queue = driver.queue(0);
    this.owner = owner;
    this.io = driver.newIo();
    this.data = driver.allocate(BLOCK);
    this.blocks = driver.capacity() / BLOCK;
  }

  /**
   * Measures, and prints how many nanoseconds a request took; the arguments are the name of a
   * {@link TransportSetup}, a {@link LoopMode}, seconds of warm-up, seconds, and QEMU's program.
   */
  public static void main(String[] args) throws IOException, InterruptedException {
    // That somebody has connected is no news.
    Logger.getLogger("").setLevel(Level.WARNING);
    TransportSetup setup = TransportSetup.valueOf(args[0]);
    LoopMode mode = LoopMode.valueOf(args[1].toUpperCase(Locale.ROOT));
    long warmup = TimeUnit.SECONDS.toNanos(Long.parseLong(args[2]));
    long nanos = TimeUnit.SECONDS.toNanos(Long.parseLong(args[3]));
    try (TransportPeers peers = new TransportPeers(mode, Path.of(args[4]));
        EventLoop loop = setup.isInline() ? null : peers.loopOfCaller()) {
      QueueOwner owner = loop == null ? peers.inline() : loop;
      DriverTransport transport = setup.open(peers);
      DriverDevice device =
          loop == null
              ? new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run)
              : new DriverDevice(transport);
      try (device) {
        BlkDriver driver = (BlkDriver) device.start(new BlkDriverType(BlkDriverOptions.of(owner)));
        TransportLane lane = new TransportLane(driver, owner);
        lane.run(warmup);
        System.out.printf(Locale.ROOT, "ns %.1f%n", lane.run(nanos));
        driver.close();
      }
    }
    // Not by the end of main: a thread that hangs must not keep the process.
    System.exit(0);
  }

  private double run(long nanos) throws IOException {
    long start = System.nanoTime();
    long count = 0;
    long took;
    do {
      for (int i = 0; i < BATCH; i++) {
        queue.submit(io.read(next * BLOCK).add(data));
        next = next + 1 == blocks ? 0 : next + 1;
        if (!owner.runUntil(this::isDone, PATIENCE)) {
          throw new IOException("a request does not end");
        }
        io.check();
      }
      count += BATCH;
      took = System.nanoTime() - start;
    } while (took < nanos);
    return (double) took / count;
  }

  private boolean isDone() {
    return !io.isBusy();
  }
}
