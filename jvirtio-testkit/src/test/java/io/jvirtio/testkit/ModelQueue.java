// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.QueueLayout;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What the device side of a split queue must do, written down as simply as can be: byte by byte, in
 * unbounded numbers, with no thought of speed. The device under test echoes at most {@link
 * #MOST_ECHOED} bytes of each buffer.
 */
final class ModelQueue {
  static final int MOST_ECHOED = 4096;

  /** A buffer that was used. */
  record Used(int head, long length) {}

  /** One byte range of a buffer. */
  private record Range(BigInteger from, BigInteger length) {}

  private static final BigInteger TWO_64 = BigInteger.ONE.shiftLeft(64);
  private static final BigInteger TWO_32 = BigInteger.ONE.shiftLeft(32);

  private final ByteOrder order;
  private final boolean indirectAllowed;
  private final QueueLayout layout;

  /** The regions by guest address. */
  private final Map<BigInteger, byte[]> memory = new TreeMap<>();

  final List<Used> used = new ArrayList<>();
  int nextAvail;

  /** The model of a queue in a copy of this memory. */
  ModelQueue(TestMemory original, QueueLayout layout, ByteOrder order, boolean indirectAllowed) {
    this.layout = layout;
    this.order = order;
    this.indirectAllowed = indirectAllowed;
    this.nextAvail = layout.start();
    refresh(original);
  }

  /** Takes over what the driver has written. */
  void refresh(TestMemory original) {
    for (var region : original.regions()) {
      memory.put(
          unsigned(region.guestAddress()),
          original.read(region.guestAddress(), (int) region.size()));
    }
  }

  /** The bytes of the region that begins at this guest address. */
  byte[] region(long guestAddress) {
    return memory.get(unsigned(guestAddress));
  }

  /**
   * Takes what is available, until nothing is.
   *
   * @throws PeerFault with the rule that the driver broke
   */
  void run() throws PeerFault {
    while (true) {
      int idx = u16(at(layout.driverArea(), 2));
      int fresh = (idx - nextAvail) & 0xffff;
      if (fresh > layout.size()) {
        throw new PeerFault(FaultReason.AVAIL_IDX_JUMP, idx);
      }
      if (fresh == 0) {
        return;
      }
      for (int i = 0; i < fresh; i++) {
        long slot = 4 + 2L * (nextAvail % layout.size());
        buffer(u16(at(layout.driverArea(), slot)));
        nextAvail = (nextAvail + 1) & 0xffff;
      }
    }
  }

  private void buffer(int head) throws PeerFault {
    if (head >= layout.size()) {
      throw new PeerFault(FaultReason.HEAD_OUT_OF_RANGE, head);
    }
    List<Range> readable = new ArrayList<>();
    List<Range> writable = new ArrayList<>();
    boolean[] writableSeen = {false};
    int taken = 0;
    int index = head;
    BigInteger table = unsigned(layout.descriptorArea());
    long entries = layout.size();
    long limit = layout.size();
    boolean indirect = false;
    while (true) {
      BigInteger slot = table.add(BigInteger.valueOf(16L * index));
      BigInteger addr = unsigned(bytes(slot, 8).getLong());
      long len = Integer.toUnsignedLong(bytes(slot.add(BigInteger.valueOf(8)), 4).getInt());
      int flags = u16(slot.add(BigInteger.valueOf(12)));
      int next = u16(slot.add(BigInteger.valueOf(14)));
      boolean more = (flags & VIRTQ_DESC_F_NEXT) != 0;
      if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
        checkIndirect(indirect, more, addr, len);
        indirect = true;
        table = addr;
        entries = len / 16;
        limit = Math.max(1024, layout.size());
        index = 0;
        continue;
      }
      take(flags, addr, len, readable, writable, writableSeen);
      taken++;
      if (!more) {
        break;
      }
      if (next >= entries) {
        throw new PeerFault(FaultReason.NEXT_OUT_OF_RANGE, next);
      }
      if (taken >= limit) {
        throw new PeerFault(FaultReason.CHAIN_TOO_LONG, head);
      }
      index = next;
    }
    echo(head, readable, writable);
  }

  private void checkIndirect(boolean inside, boolean more, BigInteger addr, long len)
      throws PeerFault {
    if (inside) {
      throw new PeerFault(FaultReason.INDIRECT_IN_INDIRECT, 0);
    }
    if (more) {
      throw new PeerFault(FaultReason.INDIRECT_WITH_NEXT, 0);
    }
    if (!indirectAllowed) {
      throw new PeerFault(FaultReason.INDIRECT_NOT_NEGOTIATED, 0);
    }
    if (len == 0 || len % 16 != 0) {
      throw new PeerFault(FaultReason.INDIRECT_LENGTH, len);
    }
    if (addr.add(BigInteger.valueOf(len)).compareTo(TWO_64) > 0) {
      throw new PeerFault(FaultReason.ADDRESS_OVERFLOW, 0);
    }
  }

  private void take(
      int flags,
      BigInteger addr,
      long len,
      List<Range> readable,
      List<Range> writable,
      boolean[] writableSeen)
      throws PeerFault {
    boolean write = (flags & VIRTQ_DESC_F_WRITE) != 0;
    if (!write && writableSeen[0]) {
      throw new PeerFault(FaultReason.WRITABLE_BEFORE_READABLE, 0);
    }
    writableSeen[0] |= write;
    if (len == 0) {
      return;
    }
    byteAt(addr);
    Range range = new Range(addr, BigInteger.valueOf(len));
    BigInteger end = addr.add(range.length());
    if (end.compareTo(TWO_64) > 0) {
      throw new PeerFault(FaultReason.ADDRESS_OVERFLOW, 0);
    }
    if (length(readable).add(length(writable)).add(range.length()).compareTo(TWO_32) > 0) {
      throw new PeerFault(FaultReason.CHAIN_LENGTH_OVERFLOW, 0);
    }
    // Every byte of it is somewhere: region after region.
    BigInteger at = addr;
    while (at.compareTo(end) < 0) {
      at = endOfRegion(at);
    }
    (write ? writable : readable).add(range);
  }

  private static BigInteger length(List<Range> ranges) {
    return ranges.stream().map(Range::length).reduce(BigInteger.ZERO, BigInteger::add);
  }

  private void echo(int head, List<Range> readable, List<Range> writable) throws PeerFault {
    long most =
        length(readable).min(length(writable)).min(BigInteger.valueOf(MOST_ECHOED)).longValue();
    byte[] data = new byte[(int) most];
    List<BigInteger> from = addresses(readable, data.length);
    for (int i = 0; i < data.length; i++) {
      data[i] = byteAt(from.get(i));
    }
    List<BigInteger> to = addresses(writable, data.length);
    for (int i = 0; i < data.length; i++) {
      store(to.get(i), data[i]);
    }
    used.add(new Used(head, most));
  }

  private static List<BigInteger> addresses(List<Range> ranges, int count) {
    List<BigInteger> result = new ArrayList<>();
    for (Range range : ranges) {
      BigInteger end = range.from().add(range.length());
      for (BigInteger at = range.from();
          at.compareTo(end) < 0 && result.size() < count;
          at = at.add(BigInteger.ONE)) {
        result.add(at);
      }
    }
    return result;
  }

  private static BigInteger unsigned(long value) {
    return new BigInteger(Long.toUnsignedString(value));
  }

  private static BigInteger at(long base, long offset) {
    return unsigned(base).add(BigInteger.valueOf(offset));
  }

  private Map.Entry<BigInteger, byte[]> regionOf(BigInteger address) throws PeerFault {
    for (var entry : memory.entrySet()) {
      BigInteger offset = address.subtract(entry.getKey());
      if (offset.signum() >= 0
          && offset.compareTo(BigInteger.valueOf(entry.getValue().length)) < 0) {
        return entry;
      }
    }
    throw new PeerFault(FaultReason.ADDRESS_OUTSIDE_MEMORY, address.longValue());
  }

  private BigInteger endOfRegion(BigInteger address) throws PeerFault {
    var region = regionOf(address);
    return region.getKey().add(BigInteger.valueOf(region.getValue().length));
  }

  private byte byteAt(BigInteger address) throws PeerFault {
    var region = regionOf(address);
    return region.getValue()[address.subtract(region.getKey()).intValue()];
  }

  private void store(BigInteger address, byte value) throws PeerFault {
    var region = regionOf(address);
    region.getValue()[address.subtract(region.getKey()).intValue()] = value;
  }

  private ByteBuffer bytes(BigInteger address, int count) throws PeerFault {
    byte[] result = new byte[count];
    for (int i = 0; i < count; i++) {
      result[i] = byteAt(address.add(BigInteger.valueOf(i)));
    }
    return ByteBuffer.wrap(result).order(order);
  }

  private int u16(BigInteger address) throws PeerFault {
    return bytes(address, 2).getShort() & 0xffff;
  }
}
