// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.SplitRing;
import io.jvirtio.testkit.TestChain.Piece;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Lays a buffer out in descriptors: any number, any boundaries, any table. Not thread-safe.
 *
 * <pre>{@code
 * driver.chain().readable(header).writable(512).writable(1).submit();
 * driver.chain().readable(header).indirect().writable(512).submit();      // direct, then indirect
 * driver.chain().readable(header).splitReadable(3, 7).writable(1).submit();
 * }</pre>
 */
public final class ChainBuilder {
  /** Data for it or null; an address or null for one that is allocated. */
  private record Element(byte[] data, Long address, long length, boolean writable) {
    Element part(long from, long to) {
      byte[] bytes = data == null ? null : Arrays.copyOfRange(data, (int) from, (int) to);
      return new Element(
          bytes, address == null ? null : Long.valueOf(address + from), to - from, writable);
    }
  }

  /** What the bytes of {@link #writable} hold until the device writes them. */
  public static final int UNWRITTEN = 0xee;

  private static final int DIRECT_ONLY = Integer.MAX_VALUE;

  private final ScriptedDriver driver;
  private final List<Element> elements = new ArrayList<>();
  private int[] indexes = {};
  private int indirectFrom = DIRECT_ONLY;
  private Long tableAddress;
  private int extraTableFlags;
  private int chosenId = -1;

  ChainBuilder(ScriptedDriver driver) {
    this.driver = driver;
  }

  /** A device-readable element with these bytes, somewhere in memory. */
  public ChainBuilder readable(byte... bytes) {
    elements.add(new Element(bytes.clone(), null, bytes.length, false));
    return this;
  }

  /** A device-writable element of so many bytes, each {@link #UNWRITTEN}, somewhere in memory. */
  public ChainBuilder writable(int length) {
    elements.add(new Element(null, null, length, true));
    return this;
  }

  /**
   * A device-readable element at an address, which need not be in memory.
   *
   * @param length 0 to 2^32 - 1
   */
  public ChainBuilder readableAt(long address, long length) {
    elements.add(new Element(null, address, length, false));
    return this;
  }

  /**
   * A device-writable element at an address, which need not be in memory.
   *
   * @param length 0 to 2^32 - 1
   */
  public ChainBuilder writableAt(long address, long length) {
    elements.add(new Element(null, address, length, true));
    return this;
  }

  /**
   * Lays the device-readable bytes out anew: in one piece, then cut at these offsets.
   *
   * @param offsets ascending; two equal ones make an element of no bytes
   */
  public ChainBuilder splitReadable(int... offsets) {
    return split(false, offsets);
  }

  /**
   * Lays the device-writable bytes out anew: in one piece, then cut at these offsets.
   *
   * @param offsets ascending; two equal ones make an element of no bytes
   */
  public ChainBuilder splitWritable(int... offsets) {
    return split(true, offsets);
  }

  private ChainBuilder split(boolean writable, int... offsets) {
    List<Element> whole = elements.stream().filter(e -> e.writable() == writable).toList();
    if (whole.stream().anyMatch(e -> e.address() != null)) {
      throw new IllegalStateException("an element at an address cannot be laid out anew");
    }
    int total = Math.toIntExact(whole.stream().mapToLong(Element::length).sum());
    byte[] data = writable ? null : new byte[total];
    int at = 0;
    for (Element element : whole) {
      if (data != null) {
        System.arraycopy(element.data(), 0, data, at, element.data().length);
      }
      at += (int) element.length();
    }
    Element joined = new Element(data, null, total, writable);
    List<Element> parts = new ArrayList<>();
    int from = 0;
    for (int offset : offsets) {
      parts.add(joined.part(from, offset));
      from = offset;
    }
    parts.add(joined.part(from, total));
    elements.removeIf(e -> e.writable() == writable);
    elements.addAll(writable ? elements.size() : 0, parts);
    return this;
  }

  /** What comes from here on stands in an indirect table. */
  public ChainBuilder indirect() {
    indirectFrom = elements.size();
    return this;
  }

  /** What comes from here on stands in an indirect table at this address, at any alignment. */
  public ChainBuilder indirectAt(long address) {
    tableAddress = address;
    return indirect();
  }

  /** More flags for the descriptor that refers to the indirect table. */
  public ChainBuilder tableFlags(int flags) {
    extraTableFlags = flags;
    return this;
  }

  /**
   * Uses these descriptors of the queue's table, in this order, instead of free ones. Whether they
   * are free is not checked. Split ring only: in a packed one the position is not a matter of
   * choice.
   */
  public ChainBuilder at(int... descriptors) {
    driver.ring();
    indexes = descriptors.clone();
    return this;
  }

  /**
   * Gives it this buffer id instead of a free one; packed ring only. Whether it is free is not
   * checked.
   *
   * @param id 0 to 65535
   */
  public ChainBuilder id(int id) {
    driver.packedRing();
    chosenId = id;
    return this;
  }

  /**
   * Writes the descriptors, but neither the available idx nor the flags of the batch's first
   * descriptor: the device does not see it yet.
   *
   * @throws IllegalStateException when there are not enough free descriptors
   */
  public TestChain add() {
    List<Piece> readable = new ArrayList<>();
    List<Piece> writable = new ArrayList<>();
    int direct = Math.min(indirectFrom, elements.size());
    boolean withTable = direct < elements.size() || indirectFrom != DIRECT_ONLY;
    int count = direct + (withTable ? 1 : 0);
    if (count == 0) {
      throw new IllegalStateException("a buffer has at least one element");
    }
    int[] table = indexes.length > 0 ? indexes : driver.half().takeFree(count);
    if (table.length != count) {
      throw new IllegalArgumentException(count + " descriptors needed, " + table.length + " given");
    }
    int id = chosenId >= 0 ? chosenId : driver.half().idOf(table);
    for (int i = 0; i < direct; i++) {
      Element e = elements.get(i);
      Piece piece = place(e, readable, writable);
      driver
          .half()
          .descriptor(table, i, id, piece.address(), piece.length(), flags(e, i + 1 < count));
    }
    if (withTable) {
      addTable(table, id, direct, readable, writable);
    }
    List<Integer> used = Arrays.stream(table).boxed().toList();
    TestChain chain =
        new TestChain(driver.memory(), id, used, List.copyOf(readable), List.copyOf(writable));
    driver.added(chain);
    return chain;
  }

  private void addTable(int[] slots, int id, int from, List<Piece> readable, List<Piece> writable) {
    int entries = elements.size() - from;
    long bytes = (long) SplitRing.DESC_SIZE * entries;
    long address =
        tableAddress == null ? driver.memory().allocate(bytes, SplitRing.DESC_SIZE) : tableAddress;
    // Written by way of a copy, because a table may cross the edge of a region.
    byte[] table = new byte[(int) bytes];
    for (int i = 0; i < entries; i++) {
      Element e = elements.get(from + i);
      Piece piece = place(e, readable, writable);
      driver
          .half()
          .tableEntry(
              MemorySegment.ofArray(table),
              i,
              piece.address(),
              piece.length(),
              flags(e, i + 1 < entries));
    }
    driver.memory().write(address, table);
    int flags = SplitRing.VIRTQ_DESC_F_INDIRECT | extraTableFlags;
    driver.half().descriptor(slots, slots.length - 1, id, address, bytes, flags);
  }

  private Piece place(Element e, List<Piece> readable, List<Piece> writable) {
    long address = e.address() == null ? driver.memory().allocate(e.length(), 16) : e.address();
    if (e.data() != null) {
      driver.memory().write(address, e.data());
    } else if (e.address() == null) {
      driver.memory().fill(address, (int) e.length(), UNWRITTEN);
    }
    Piece piece = new Piece(address, e.length());
    (e.writable() ? writable : readable).add(piece);
    return piece;
  }

  private static int flags(Element e, boolean more) {
    return (e.writable() ? SplitRing.VIRTQ_DESC_F_WRITE : 0)
        | (more ? SplitRing.VIRTQ_DESC_F_NEXT : 0);
  }

  /** Adds the buffer and makes it available at once, with all that were added before. */
  public TestChain submit() {
    TestChain chain = add();
    driver.publish();
    return chain;
  }
}
