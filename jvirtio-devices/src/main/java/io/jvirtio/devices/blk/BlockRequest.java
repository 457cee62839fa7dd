// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.ChainReader;
import io.jvirtio.queue.ChainWriter;
import io.jvirtio.queue.DescriptorChain;

/**
 * One piece of work for a {@link BlockChannel}. The device uses these objects again and again, so
 * nothing is allocated for a request. Owner thread only, except that any thread may read the
 * properties between queueing and completion.
 *
 * <p>The data of a read or write are {@link #length} bytes of the chain, starting {@link
 * #firstOffset} bytes into segment {@link #firstSegment}. The other operations have no data.
 */
public abstract class BlockRequest {
  /** Result: everything was done. */
  public static final int OK = 0;

  /** Result: an input or output error without a better number (Linux's EIO). */
  public static final int IO_ERROR = 5;

  /** Result: memory of the guest could not be accessed (Linux's EFAULT). */
  public static final int BAD_MEMORY = 14;

  /** Result: the storage is full (Linux's ENOSPC). */
  public static final int NO_SPACE = 28;

  /** Result: this back end cannot do it (Linux's EOPNOTSUPP). */
  public static final int UNSUPPORTED = 95;

  private DescriptorChain chain;
  private int firstSegment;
  private int firstOffset;
  private int dataStart;
  private long length;
  private long position;
  private boolean stable;
  private boolean unmap;
  private int tag;

  /** For the device. */
  protected BlockRequest() {}

  /**
   * Describes a read into the chain or a write from it.
   *
   * @param from bytes of the readable or writable part that come before the data
   * @param writable whether the data is in the device-writable part, which means a read
   * @param bytes of data; the part holds them
   * @param at where in the storage, in bytes
   * @param whenStable for a write: whether to complete it only when it is stable
   */
  protected final void transfer(
      DescriptorChain of, int from, boolean writable, long bytes, long at, boolean whenStable) {
    chain = of;
    dataStart = from;
    length = bytes;
    position = at;
    stable = whenStable;
    unmap = false;
    int segment = writable ? of.readableCount() : 0;
    int skip = from;
    while (bytes > 0 && skip >= of.segmentLength(segment)) {
      skip -= of.segmentLength(segment);
      segment++;
    }
    firstSegment = segment;
    firstOffset = skip;
  }

  /**
   * Describes work on a range without data; a flush is a range of no bytes.
   *
   * @param at where in the storage, in bytes
   * @param bytes of the range
   * @param mayUnmap whether writing zeroes may deallocate
   * @param whenStable whether to complete it only when it is stable
   */
  protected final void range(long at, long bytes, boolean mayUnmap, boolean whenStable) {
    length = bytes;
    position = at;
    unmap = mayUnmap;
    stable = whenStable;
  }

  /** The chain whose segments hold the data of a read or write. */
  public final DescriptorChain chain() {
    return chain;
  }

  /** The segment of the chain in which the data starts. */
  public final int firstSegment() {
    return firstSegment;
  }

  /** Where the data starts in the first segment, in bytes. */
  public final int firstOffset() {
    return firstOffset;
  }

  /** Bytes to read, write, discard, erase or make zero; below 2^32 for data. */
  public final long length() {
    return length;
  }

  /** Where in the storage, in bytes. */
  public final long position() {
    return position;
  }

  /** Whether a change must be stable before it completes. */
  public final boolean stable() {
    return stable;
  }

  /** Whether writing zeroes may deallocate. */
  public final boolean unmap() {
    return unmap;
  }

  /** A number that the channel may attach while it has the request, such as its own slot. */
  public final int tag() {
    return tag;
  }

  /** Sets {@link #tag}. */
  public final void tag(int number) {
    tag = number;
  }

  /**
   * For back ends that work on arrays: a cursor at the data of a write.
   *
   * @throws PeerFault never, when the device has described a write
   */
  public final ChainReader data() throws PeerFault {
    ChainReader reader = chain.reader();
    reader.rewind();
    reader.skip(dataStart);
    return reader;
  }

  /**
   * For back ends that work on arrays: a cursor at the place for the data of a read.
   *
   * @throws PeerFault never, when the device has described a read
   */
  public final ChainWriter target() throws PeerFault {
    ChainWriter writer = chain.writer();
    writer.rewind();
    writer.skip(dataStart);
    return writer;
  }

  /**
   * The work has ended. The channel calls it once, on the owner, and forgets the request before.
   *
   * @param result 0, or a positive error number as Linux counts them
   */
  public abstract void completed(int result);
}
