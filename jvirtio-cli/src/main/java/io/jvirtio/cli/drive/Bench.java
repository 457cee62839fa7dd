// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.RingChoice;
import io.jvirtio.cli.drive.Disks.OpenDisk;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.drivers.blk.BlkQueue;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** A benchmark of a block device: connects, runs a workload on threads of their own, and leaves. */
final class Bench {
  private static final long MEMORY_FOR_QUEUES = 16 << 20;
  private static final int LEAST_SEGMENT = 4096;
  private static final int MOST_SEGMENTS = 126;

  /**
   * What came out.
   *
   * @param threads the measurements of each
   * @param all of them together
   * @param features the names of the negotiated features
   * @param notificationsSent to the device
   * @param notificationsSuppressed how often the device wanted none
   * @param callbacks how often a queue's callback ran; 0 when threads polled
   */
  record Result(
      List<Measurements> threads,
      Measurements all,
      List<String> features,
      long notificationsSent,
      long notificationsSuppressed,
      long callbacks) {}

  private final Place place;
  private final Workload workload;
  private final RingChoice rings;
  private final Cancel cancel;
  private final List<BenchThread> threads = new ArrayList<>();

  Bench(Place place, Workload workload, RingChoice rings, Cancel cancel) {
    this.place = place;
    this.workload = workload;
    this.rings = rings;
    this.cancel = cancel;
  }

  /** Runs it to its end. */
  Result run() throws CliException, InterruptedException {
    try {
      QueueOwner[] owners = new QueueOwner[workload.threads()];
      for (int i = 0; i < owners.length; i++) {
        threads.add(new BenchThread(workload, i));
        owners[i] = threads.get(i).owner();
      }
      long memory = (long) workload.depth() * workload.blockSize() * owners.length;
      Place.Need need =
          new Place.Need(
              memory + owners.length * MEMORY_FOR_QUEUES, MEMORY_FOR_QUEUES, workload.queueSize());
      try (OpenDisk disk = Disks.open(place, need, options(owners), rings)) {
        check(disk.driver());
        return measure(disk.driver());
      } catch (IOException e) {
        throw place.talking(e);
      }
    } finally {
      threads.forEach(BenchThread::release);
    }
  }

  private BlkDriverOptions options(QueueOwner[] owners) {
    // No more than can be needed: the descriptors of a request lie close together then.
    int segments = Math.clamp(workload.blockSize() / LEAST_SEGMENT, 1, MOST_SEGMENTS);
    return BlkDriverOptions.builder(owners)
        .polled(workload.poll())
        .maxSegments(segments)
        .queueSize(workload.queueSize())
        .build();
  }

  private void check(BlkDriver driver) throws CliException {
    if (driver.queues().size() < workload.threads()) {
      throw new CliException(
          "the device has "
              + driver.queues().size()
              + " queue(s): --num-threads is "
              + workload.threads()
              + ", and each thread needs one of its own");
    }
    if (workload.pattern().writes() && driver.isReadOnly()) {
      throw new CliException("the device is read-only: try --readwrite=read or randread");
    }
    long most = driver.limits().maxRequestBytes();
    if (workload.blockSize() > most) {
      throw new CliException(
          "--blocksize is "
              + workload.blockSize()
              + ", but the device takes at most "
              + most
              + " bytes at once");
    }
    if (workload.blockSize() % driver.blockSize() != 0) {
      throw new CliException(
          "--blocksize is "
              + workload.blockSize()
              + ", but the device wants multiples of its block size, "
              + driver.blockSize());
    }
    if (driver.capacity() < workload.blockSize()) {
      throw new CliException(
          "the device has " + driver.capacity() + " bytes, less than --blocksize");
    }
  }

  private Result measure(BlkDriver driver) throws CliException, IOException, InterruptedException {
    threads.forEach(thread -> thread.begin(driver));
    cancel.onAsked(() -> threads.forEach(BenchThread::cancel));
    List<Measurements> measured = new ArrayList<>();
    IOException failure = null;
    for (BenchThread thread : threads) {
      try {
        measured.add(thread.result());
      } catch (IOException e) {
        failure = e;
        threads.forEach(BenchThread::cancel);
      }
    }
    if (failure != null) {
      throw failure;
    }
    long sent = 0;
    long suppressed = 0;
    long callbacks = 0;
    for (BlkQueue queue : driver.queues()) {
      sent += queue.counters().notificationsSent();
      suppressed += queue.counters().notificationsSuppressed();
      callbacks += queue.counters().callbacks();
    }
    Measurements all = Measurements.sum(measured, workload.blockSize());
    return new Result(measured, all, driver.features(), sent, suppressed, callbacks);
  }
}
