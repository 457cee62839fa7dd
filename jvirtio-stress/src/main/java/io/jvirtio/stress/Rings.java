// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.stress;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.queue.QueueCounters;
import io.jvirtio.raw.RawMemory;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayDeque;
import java.util.EnumMap;
import java.util.Map;

/**
 * Both ends of one real queue, for one state of a test.
 *
 * <p>A pair goes on from state to state, so that indexes run on and wrap and the ring is full of
 * what was there before; between two of them everything comes back. Whoever holds the pair uses the
 * {@code driver} methods from one actor and the {@code device} methods from the other, as two
 * owners would, and nothing else hands anything from one to the other.
 */
final class Rings {
  /** What was negotiated. */
  enum Format {
    /** Notifications by VIRTIO_F_EVENT_IDX. */
    EVENT_IDX(16, ReservedFeatures.VIRTIO_F_EVENT_IDX),
    /** Notifications by flags. */
    FLAGS(16),
    /** Event index, and all buffers but the first in indirect tables. */
    INDIRECT(16, ReservedFeatures.VIRTIO_F_EVENT_IDX, ReservedFeatures.VIRTIO_F_INDIRECT_DESC),

    // The sizes of packed rings are odd, and little more than what all buffers take: a state
    // begins at every place of the ring, and the wrap counter changes at every place of a state,
    // also between two descriptors of a chain.

    /** Packed, notifications by descriptor offset and wrap counter. */
    PACKED_EVENT_IDX(
        13, ReservedFeatures.VIRTIO_F_RING_PACKED, ReservedFeatures.VIRTIO_F_EVENT_IDX),
    /** Packed, notifications by flags. */
    PACKED_FLAGS(13, ReservedFeatures.VIRTIO_F_RING_PACKED),
    /** Packed, event index, and all buffers in indirect tables. */
    PACKED_INDIRECT(
        5,
        ReservedFeatures.VIRTIO_F_RING_PACKED,
        ReservedFeatures.VIRTIO_F_EVENT_IDX,
        ReservedFeatures.VIRTIO_F_INDIRECT_DESC);

    private final int size;
    private final FeatureBits features;

    Format(int size, int... bits) {
      this.size = size;
      FeatureBits all = FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1);
      for (int bit : bits) {
        all = all.with(bit);
      }
      this.features = all;
    }
  }

  /** The most buffers in flight. */
  static final int BUFFERS = 4;

  /** One half of a buffer's bytes is readable, the other one writable. */
  private static final int HALF = 64;

  private static final DriverMemory MEMORY = new StressMemory();

  /** By thread, because JCStress ends one state and begins the next on the same one. */
  private static final ThreadLocal<Map<Format, ArrayDeque<Rings>>> IDLE =
      ThreadLocal.withInitial(() -> new EnumMap<>(Format.class));

  /** One buffer: also the token. */
  private static final class Buffer {
    final DriverBuffer elements = new DriverBuffer(MEMORY, 3);
    final long address;

    Buffer(long address) {
      this.address = address;
    }

    /** A readable element, whose length depends on the stamp, and two writable ones. */
    DriverBuffer describe(long stamp) {
      return elements
          .clear()
          .readable(address, readable(stamp))
          .writable(address + HALF, 8)
          .writable(address + HALF + 8, 8);
    }
  }

  private final Format format;
  private final DriverQueue driver;
  private final DeviceQueue device;
  private final Buffer[] buffers = new Buffer[BUFFERS];
  private final DescriptorChain[] held = new DescriptorChain[BUFFERS];
  private long round;

  /** Something was seen that is forbidden: the next state gets another pair. Any actor sets it. */
  private boolean spoiled;

  private Rings(Format format) throws IOException, PeerFault {
    this.format = format;
    driver =
        DriverQueue.create(
            new DriverQueueOptions(0, "stress", format.size, 3, format.features, 0, false),
            MEMORY,
            queue -> {});
    for (int i = 0; i < BUFFERS; i++) {
      buffers[i] = new Buffer(MEMORY.allocate(2 * HALF, 64).address());
    }
    device =
        driver
            .layout()
            .open(0, format.size, format.features, MEMORY.snapshot(), false, new QueueCounters());
  }

  /** A pair at rest: nothing in flight, neither side wants notifications or has an old claim. */
  static Rings take(Format format) {
    ArrayDeque<Rings> idle = IDLE.get().get(format);
    try {
      Rings rings = idle == null || idle.isEmpty() ? new Rings(format) : idle.pop();
      rings.rest();
      return rings;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (PeerFault fault) {
      throw new IllegalStateException(fault);
    }
  }

  /** Lets the next state have it. */
  void giveBack() {
    if (!spoiled) {
      IDLE.get().computeIfAbsent(format, unused -> new ArrayDeque<>()).push(this);
    }
  }

  private void rest() throws PeerFault {
    driver.disableCallback();
    device.disableNotifications();
    settle();
    // Moves both indexes past the events that the last state asked for, and changes which
    // descriptors come next.
    for (int i = 0; i < 1 + (round & 1); i++) {
      offer(i);
    }
    driver.kickPrepare();
    settle();
    round++;
  }

  private void settle() throws PeerFault {
    driver.kickPrepare();
    for (int i = 0; i < BUFFERS; i++) {
      if (held[i] != null) {
        device.push(held[i], 0);
        held[i] = null;
      }
    }
    DescriptorChain chain;
    while ((chain = device.pop()) != null) {
      device.push(chain, 0);
    }
    device.publish();
    while (driver.get() != null) {
      Thread.onSpinWait();
    }
    if (driver.inFlight() != 0 || device.inFlight() != 0) {
      throw new IllegalStateException("a buffer was lost");
    }
  }

  private void offer(int buffer) throws PeerFault {
    if (!driver.add(buffers[buffer].describe(stamp(buffer)), buffers[buffer])) {
      throw new IllegalStateException("the ring is full");
    }
  }

  private long stamp(int buffer) {
    return round * BUFFERS + buffer + 1;
  }

  private static int readable(long stamp) {
    return 8 + (int) (stamp * 5 & 31);
  }

  /** For a state's start: so many buffers are in the device's hands. */
  Rings inHands(int count) {
    try {
      for (int i = 0; i < count; i++) {
        offer(i);
      }
      driver.kickPrepare();
      for (int i = 0; i < count; i++) {
        held[i] = device.pop();
      }
      return this;
    } catch (PeerFault fault) {
      throw new IllegalStateException(fault);
    }
  }

  /**
   * For a state's start: two buffers are in the device's hands, the driver has enabled its
   * callback, and then the device gave the first one back.
   */
  Rings inFlightWithCallback() {
    inHands(2);
    if (!driver.enableCallback() || !deviceGivesBack(0, 1)) {
      throw new IllegalStateException("no callback for the first used buffer");
    }
    return this;
  }

  /** The driver fills some buffers, makes them available, and publishes them together. */
  boolean driverOffers(int count) {
    try {
      for (int i = 0; i < count; i++) {
        RawMemory.putLong(buffers[i].address, stamp(i));
        offer(i);
      }
      return driver.kickPrepare();
    } catch (PeerFault fault) {
      throw new IllegalStateException(fault);
    }
  }

  /**
   * The device takes what it sees.
   *
   * @return how many buffers; -1 when one is not what the driver made available
   */
  int deviceTakes(int most) {
    try {
      for (int i = 0; i < most; i++) {
        DescriptorChain chain = device.pop();
        if (chain == null) {
          return i;
        }
        held[i] = chain;
        long stamp = stamp(i);
        boolean right =
            chain.segmentCount() == 3
                && chain.readableCount() == 1
                && chain.readableLength() == readable(stamp)
                && chain.writableLength() == 16
                && chain.segmentAddress(0) == buffers[i].address
                && chain.segmentAddress(2) == buffers[i].address + HALF + 8
                && chain.reader().le64() == stamp;
        if (!right) {
          spoiled = true;
          return -1;
        }
      }
      return most;
    } catch (PeerFault fault) {
      spoiled = true;
      return -1;
    }
  }

  /** The device fills and pushes what it has in its hands, and publishes it together. */
  boolean deviceGivesBack(int from, int to) {
    try {
      for (int i = from; i < to; i++) {
        DescriptorChain chain = held[i];
        held[i] = null;
        chain.writer().le64(~stamp(i));
        device.push(chain, 8 + (stamp(i) & 7));
      }
      return device.publish();
    } catch (PeerFault fault) {
      throw new IllegalStateException(fault);
    }
  }

  /**
   * The driver takes what came back, in the order in which it was pushed.
   *
   * @return how many buffers; -1 when one is not what the device pushed
   */
  int driverTakes(int most) {
    try {
      for (int i = 0; i < most; i++) {
        Object token = driver.get();
        if (token == null) {
          return i;
        }
        long stamp = stamp(i);
        if (token != buffers[i]
            || driver.writtenLength() != 8 + (stamp & 7)
            || RawMemory.getLong(buffers[i].address + HALF) != ~stamp) {
          spoiled = true;
          return -1;
        }
      }
      return most;
    } catch (PeerFault fault) {
      spoiled = true;
      return -1;
    }
  }

  /** Whether the device may sleep: it asked for notifications, and nothing is available. */
  boolean deviceMaySleep() {
    return device.enableNotifications();
  }

  /** Whether the driver may sleep: it asked for a callback, and nothing came back. */
  boolean driverMaySleep() {
    return driver.enableCallback();
  }

  /** The same, in two halves. */
  boolean driverMaySleepPrepared() {
    int position = driver.prepareCallback();
    return !driver.hasUsedSince(position);
  }

  /** The same, for a callback when most has come back. */
  boolean driverMaySleepDelayed() {
    return driver.enableCallbackDelayed();
  }
}
