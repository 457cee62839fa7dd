// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import io.jvirtio.testkit.DeviceBench;
import io.jvirtio.testkit.TestMemory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.Map;
import java.util.logging.LogManager;

/**
 * A device whose guest memory, rings included, is what a fuzzer makes up.
 *
 * <pre>
 *   input:  u8 log2 of the queue size   u8 session   le16 index at which the rings start
 *           le16 bytes of the first memory image    the image    the second image
 *   memory: 0x0000 .. 0x2fff, in two regions, and the last 4 KiB of the address space
 *           descriptor table at 0, available ring and used ring right behind it
 *   packed: u8 queue size - 1   u8 session   le16 position and wrap counter at which the ring starts
 *           descriptor ring at 0, event suppression of driver and of device right behind it
 * </pre>
 *
 * <p>The device runs on the first image, then the second one is laid over it, as by a driver that
 * never keeps still, and it runs again. Then it is reset and must serve an honest driver. Not
 * thread-safe.
 */
final class RingRig {
  /** The sessions, by number. */
  enum Kind {
    MODERN(ByteOrder.LITTLE_ENDIAN),
    LEGACY_LITTLE_ENDIAN(ByteOrder.LITTLE_ENDIAN),
    LEGACY_BIG_ENDIAN(ByteOrder.BIG_ENDIAN);

    /** Packed rings have no legacy form. */
    static final EnumSet<Kind> PACKED = EnumSet.of(MODERN);

    private final ByteOrder order;

    Kind(ByteOrder order) {
      this.order = order;
    }
  }

  /** How an honest driver sees that the device works. */
  interface Check {
    void works(DeviceBench bench);
  }

  static final int HEADER = 6;
  static final int FIRST_REGION = 0x2000;
  static final int LOW_MEMORY = 0x3000;
  static final long TOP = -0x1000L;
  private static final int MAX_LOG_SIZE = 8;
  private static final int INDIRECT = 1 << 2;
  private static final int EVENT_IDX = 1 << 3;
  private static final int IN_ORDER = 1 << 4;

  /** A packed ring starts beyond its end only in this case. */
  private static final int ANY_START = 1 << 14;

  private final boolean packed;
  private final Map<Kind, DeviceBench> benches = new EnumMap<>(Kind.class);
  private final TestMemory memory;
  private final FeatureBits deviceFeatures;
  private final Check check;
  private final byte[] clean = new byte[LOW_MEMORY];

  RingRig(VirtioDevice device, Check check) {
    this(device, check, false);
  }

  /** A device with a packed queue. */
  static RingRig packed(VirtioDevice device, Check check) {
    return new RingRig(device, check, true);
  }

  private RingRig(VirtioDevice device, Check check, boolean packed) {
    this.packed = packed;
    // A hostile driver makes the device log a line each time.
    LogManager.getLogManager().reset();
    this.check = check;
    this.deviceFeatures = device.features();
    memory =
        TestMemory.builder()
            .region(0, FIRST_REGION)
            .region(FIRST_REGION, LOW_MEMORY - FIRST_REGION)
            .region(TOP, 0x1000)
            .build();
    for (Kind kind : packed ? Kind.PACKED : EnumSet.allOf(Kind.class)) {
      DeviceBench.Builder builder =
          DeviceBench.of(device)
              .memory(memory)
              .queueSize(16)
              .ringFeatures(DeviceHost.implementedFeatures());
      if (packed) {
        builder.packed();
      }
      if (kind != Kind.MODERN) {
        builder.legacy(kind.order);
      }
      benches.put(kind, builder.build());
    }
  }

  /** The first byte behind the header and the rings of a queue. */
  static int behindRings(int size) {
    return usedRing(size) + (int) SplitRing.usedSize(size);
  }

  /** Where the available ring is. */
  static int availableRing(int size) {
    return (int) SplitRing.descSize(size);
  }

  /** Where the used ring is. */
  static int usedRing(int size) {
    return availableRing(size) + (int) SplitRing.availSize(size) + 3 & -4;
  }

  /** The header of an input. */
  static byte[] header(int logSize, Kind kind, boolean indirect, boolean eventIdx, int image) {
    int session = kind.ordinal() | (indirect ? INDIRECT : 0) | (eventIdx ? EVENT_IDX : 0);
    return new byte[] {(byte) logSize, (byte) session, 0, 0, (byte) image, (byte) (image >> 8)};
  }

  /** Where the driver's event suppression structure of a packed ring is; the device's follows. */
  static int driverEvent(int size) {
    return (int) PackedRing.descSize(size);
  }

  /** The header of an input with a packed ring. */
  static byte[] packedHeader(int size, int start, boolean eventIdx, boolean inOrder, int image) {
    int session = INDIRECT | (eventIdx ? EVENT_IDX : 0) | (inOrder ? IN_ORDER : 0);
    return new byte[] {
      (byte) (size - 1),
      (byte) session,
      (byte) start,
      (byte) (start >> 8),
      (byte) image,
      (byte) (image >> 8)
    };
  }

  /** Runs one input. */
  void run(byte[] input) {
    if (input.length < HEADER) {
      return;
    }
    ByteBuffer in = ByteBuffer.wrap(input).order(ByteOrder.LITTLE_ENDIAN);
    int number = in.get() & 0xff;
    int size = packed ? number + 1 : 1 << number % (MAX_LOG_SIZE + 1);
    int session = in.get();
    int start = in.getShort() & 0xffff;
    int first = Math.min(in.getShort() & 0xffff, in.remaining());
    Kind kind = packed ? Kind.MODERN : Kind.values()[(session & 3) % Kind.values().length];
    DeviceBench bench = benches.get(kind);
    long faults = bench.host().faults();
    memory.write(0, clean);
    load(in, first);
    bench.negotiate(features(kind, session));
    bench.startRawQueue(0, packed ? packedLayout(size, start) : splitLayout(size, start));
    bench.driverOk();
    bench.run();
    load(in, in.remaining());
    bench.run();
    long broken = bench.host().faults() - faults;
    if (broken > 1) {
      throw new AssertionError(broken + " faults of one session");
    }
    if (broken == 1 && bench.brokenReason(0) == FaultReason.DEVICE_ERROR) {
      throw new AssertionError("the device threw, see its log");
    }
    bench.restart();
    check.works(bench);
    bench.reset();
    if (bench.host().faults() - faults != broken) {
      throw new AssertionError("an honest driver was called hostile: " + bench.brokenReason(0));
    }
  }

  private static QueueLayout splitLayout(int size, int start) {
    return new QueueLayout(size, 0, availableRing(size), usedRing(size), start);
  }

  private static QueueLayout packedLayout(int size, int start) {
    int position = start & (PackedRing.WRAP - 1);
    int inside = (start & ANY_START) != 0 ? position : position % size;
    return new QueueLayout(
        size, 0, driverEvent(size), driverEvent(size) + 4, start & PackedRing.WRAP | inside);
  }

  private FeatureBits features(Kind kind, int session) {
    return deviceFeatures
        .withIf(kind == Kind.MODERN, ReservedFeatures.VIRTIO_F_VERSION_1)
        .withIf(packed, ReservedFeatures.VIRTIO_F_RING_PACKED)
        .withIf((session & IN_ORDER) != 0, ReservedFeatures.VIRTIO_F_IN_ORDER)
        .withIf((session & INDIRECT) != 0, ReservedFeatures.VIRTIO_F_INDIRECT_DESC)
        .withIf((session & EVENT_IDX) != 0, ReservedFeatures.VIRTIO_F_EVENT_IDX);
  }

  private void load(ByteBuffer in, int bytes) {
    byte[] image = new byte[Math.min(bytes, LOW_MEMORY)];
    in.get(image);
    memory.write(0, image);
  }
}
