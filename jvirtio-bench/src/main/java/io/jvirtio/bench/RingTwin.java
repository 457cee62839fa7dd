// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import io.jvirtio.linux.CpuAffinity;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.queue.QueueCounters;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The Java side of {@link RingBench}: block requests of three elements over the two ends of one
 * real queue, in one thread or in two, for a time. Its C twin is {@code src/main/c/ring_bench.c};
 * what one of them does, the other does too. Prints one JSON object.
 */
public final class RingTwin {
  private static final int HEADER = 16;
  private static final int PAGE = 4096;
  private static final int STATUS = 1;
  private static final int SLOT = 2 * PAGE;
  private static final int SLOTS = 64;
  private static final int ELEMENTS = 3;
  private static final int CHECK_CLOCK = 1024;
  private static final long GUEST = 0x4000_0000L;

  /** The device sees it elsewhere than this process, as it does with a real device. */
  private static final class Memory extends DriverMemory {
    private static final long LEAST = 2L << 20;
    private long next = GUEST;

    @Override
    protected Region grow(long bytes) {
      long size = Math.max(bytes, LEAST) + 4095 & -4096;
      MemorySegment segment = Arena.global().allocate(size, 4096);
      long at = next;
      next += size;
      return new Region(segment, at);
    }
  }

  /** Where a request lies; its token. */
  private record Slot(long address) {}

  /** The device's side, and what its thread needs: nothing that the driver's thread writes. */
  private static final class Peer implements Runnable {
    private final DeviceQueue device;
    private final int batch;
    private final int cpu;
    private volatile boolean stop;
    private volatile Throwable fault;

    Peer(DeviceQueue device, RingTwinOptions options) {
      this.device = device;
      this.batch = options.batch();
      this.cpu = options.peer();
    }

    @Override
    public void run() {
      try {
        pin(cpu);
        device.disableNotifications();
        while (!stop) {
          if (serve(batch) > 0) {
            device.publish();
          } else {
            Thread.onSpinWait();
          }
        }
      } catch (PeerFault | IOException | RuntimeException | Error thrown) {
        fault = thrown;
      }
    }

    int serve(int most) throws PeerFault {
      int served = 0;
      DescriptorChain chain;
      while (served < most && (chain = device.pop()) != null) {
        device.push(chain, chain.writableLength());
        served++;
      }
      return served;
    }
  }

  private final RingTwinOptions options;
  private final DriverQueue driver;
  private final DeviceQueue device;
  private final DriverBuffer buffer;
  private final Slot[] slots = new Slot[SLOTS];
  private final Peer peer;

  /** Called as an event loop calls them: whoever inlines all into one method measures that. */
  private final Step[] steps = {this::submit, this::serve, this::reap};

  private final List<byte[]> apart = new ArrayList<>();
  private long requests;
  private long bytes;

  private RingTwin(RingTwinOptions options) throws IOException, PeerFault {
    this.options = options;
    keepApart();
    Memory memory = new Memory();
    FeatureBits features =
        FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1)
            .withIf(options.packed(), ReservedFeatures.VIRTIO_F_RING_PACKED)
            .withIf(options.indirect(), ReservedFeatures.VIRTIO_F_INDIRECT_DESC)
            .withIf(options.eventIdx(), ReservedFeatures.VIRTIO_F_EVENT_IDX);
    driver =
        DriverQueue.create(
            new DriverQueueOptions(0, "bench", options.size(), ELEMENTS, features, 0, false),
            memory,
            queue -> {});
    long data = memory.deviceAddress(memory.allocate((long) SLOTS * SLOT, PAGE));
    for (int i = 0; i < SLOTS; i++) {
      slots[i] = new Slot(data + (long) i * SLOT);
    }
    buffer = new DriverBuffer(memory, ELEMENTS);
    keepApart();
    device =
        driver
            .layout()
            .open(0, options.size(), features, memory.snapshot(), false, new QueueCounters());
    peer = new Peer(device, options);
    keepApart();
  }

  /** So that what one thread writes shares no cache line with what the other one uses. */
  private void keepApart() {
    apart.add(new byte[256]);
  }

  /** Measures once; the options are {@link RingBench}'s affair. */
  public static void main(String[] args) throws IOException, PeerFault, InterruptedException {
    RingTwinOptions options = RingTwinOptions.parse(args);
    pin(options.cpu());
    System.out.println(new RingTwin(options).measure());
  }

  private static void pin(int cpu) throws LinuxException {
    if (cpu >= 0) {
      CpuAffinity.pin(cpu);
    }
  }

  private String measure() throws PeerFault, InterruptedException {
    Thread thread = null;
    if (options.threads() == 2) {
      driver.disableCallback();
      for (int i = 0; i < 2 * options.batch(); i++) {
        offer(slots[i]);
      }
      driver.kickPrepare();
      thread = Thread.ofPlatform().name("device").start(peer);
    }
    run(options.warmup());
    long before = requests;
    long start = spent();
    run(options.millis());
    long end = spent();
    long measured = requests - before;
    if (thread != null) {
      peer.stop = true;
      thread.join();
    }
    if (peer.fault != null) {
      throw new IllegalStateException(peer.fault);
    }
    if (bytes != requests * (PAGE + STATUS)) {
      throw new IllegalStateException("bytes were lost");
    }
    return String.format(
        Locale.ROOT,
        "{\"side\": \"java\", \"threads\": %d, \"requests\": %d, \"ns\": %.2f, \"indirect\": %.3f}",
        options.threads(),
        measured,
        (double) (end - start) / measured,
        (double) driver.counters().indirect() / driver.counters().added());
  }

  /**
   * One thread: its processor time, which other processes do not add to. Two: what a clock shows.
   */
  private long spent() {
    return options.threads() == 2
        ? System.nanoTime()
        : ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
  }

  private void run(long millis) throws PeerFault {
    long end = System.nanoTime() + millis * 1_000_000;
    if (options.threads() == 2) {
      runTwo(end);
    } else {
      runOne(end);
    }
  }

  private void offer(Slot slot) throws PeerFault {
    long address = slot.address();
    buffer
        .clear()
        .readable(address, HEADER)
        .writable(address + PAGE, PAGE)
        .writable(address + HEADER, STATUS);
    if (!driver.add(buffer, slot)) {
      throw new IllegalStateException("the ring is full");
    }
  }

  /** One of the three things that one notification each way sets off, on one thread. */
  private interface Step {
    void run() throws PeerFault;
  }

  private void submit() throws PeerFault {
    int batch = options.batch();
    for (int i = 0; i < batch; i++) {
      offer(slots[i]);
    }
    if (!driver.kickPrepare()) {
      throw new IllegalStateException("no notification of the device");
    }
  }

  private void serve() throws PeerFault {
    device.disableNotifications();
    peer.serve(options.size());
    if (!device.publish() || !device.enableNotifications()) {
      throw new IllegalStateException("no notification of the driver");
    }
  }

  private void reap() throws PeerFault {
    driver.disableCallback();
    while (driver.get() != null) {
      bytes += driver.writtenLength();
      requests++;
    }
    if (!driver.enableCallback()) {
      throw new IllegalStateException("a used buffer that nobody pushed");
    }
  }

  private void runOne(long end) throws PeerFault {
    while (System.nanoTime() - end < 0) {
      for (int i = 0; i < CHECK_CLOCK; i += options.batch()) {
        for (Step step : steps) {
          step.run();
        }
      }
    }
  }

  /** Gives back what it gets, until the time is over. */
  private void runTwo(long end) throws PeerFault {
    long start = requests;
    while (System.nanoTime() - end < 0) {
      driveTwo(requests + CHECK_CLOCK);
    }
    if (requests == start) {
      throw new IllegalStateException("no progress");
    }
  }

  private void driveTwo(long until) throws PeerFault {
    int batch = options.batch();
    while (requests < until) {
      int count = 0;
      Slot slot;
      while (count < batch && (slot = (Slot) driver.get()) != null) {
        bytes += driver.writtenLength();
        offer(slot);
        count++;
      }
      if (count > 0) {
        requests += count;
        driver.kickPrepare();
      } else if (peer.fault != null) {
        throw new IllegalStateException(peer.fault);
      } else {
        Thread.onSpinWait();
      }
    }
  }
}
