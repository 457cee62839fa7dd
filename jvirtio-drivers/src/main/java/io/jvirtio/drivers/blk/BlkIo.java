// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;

/**
 * One request to the device, made by {@link BlkDriver#newIo}: say what is to be done, submit it,
 * hear that it has ended, use it again. Nothing is allocated on the way, once its arrays have grown
 * and when its data is in memory shared with the device ({@link BlkDriver#allocate}).
 *
 * <pre>
 *   io.read(4096).add(segment).onCompletion(this::done);
 *   queue.submit(io);   // ... done(io): io.check() throws unless all went well
 * </pre>
 *
 * <p>Data elsewhere is copied through memory that is: what is written, on submission; what is read,
 * on the owner of the queue before the callback.
 *
 * <p>Until it has ended, a request and its data belong to the driver: a read has undefined contents
 * and a write must not be changed. When it ended with a {@link #failure}, the device may still use
 * data in shared memory until it was reset.
 *
 * <p>Belongs to one thread at a time; submission and completion hand it over.
 */
public final class BlkIo {
  /** {@link #status} of a request that did not get an answer that counts. */
  public static final int STATUS_NONE = -1;

  private static final int IDLE = 0;
  private static final int BUSY = 1;
  private static final int DONE = 2;

  private static final long IN_PLACE = -1;
  private static final int FIRST_CAPACITY = 4;
  private static final VarHandle STATE;

  /** A thread that is never this one, to find out who may access a segment. */
  private static final Thread ANOTHER = Thread.ofPlatform().unstarted(() -> {});

  static {
    try {
      STATE = MethodHandles.lookup().findVarHandle(BlkIo.class, "state", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private final DriverMemory memory;
  private final BouncePool pool;
  private final boolean copiedByOwner;

  private BlkOperation operation = BlkOperation.FLUSH;
  private long offset;
  private boolean unmap;
  private BlkCallback callback;
  private Object attachment;

  // The data: by element, where the user has it, where the device sees it, where it is bounced.
  private MemorySegment[] segments = new MemorySegment[FIRST_CAPACITY];
  private long[] addresses = new long[FIRST_CAPACITY];
  private long[] lengths = new long[FIRST_CAPACITY];
  private long[] bounceAt = new long[FIRST_CAPACITY];
  private int count;
  private long bytes;
  private long foreignBytes;
  private MemorySegment bounce;

  // The ranges, in sectors.
  private long[] rangeSector = new long[1];
  private long[] rangeSectors = new long[1];
  private int ranges;

  private int status;
  private IOException failure;

  @SuppressWarnings("unused") // by its handle
  private int state = IDLE;

  /** In whatever list has it. */
  BlkIo next;

  /** In the queue's slab, while it is in flight. */
  int slot;

  /** When it was made available to the device. */
  long startedAt;

  /**
   * An idle request.
   *
   * @param copiedByOwner whether the owner copies what was read out of bounce memory; else whoever
   *     waits does
   */
  BlkIo(DriverMemory memory, BouncePool pool, boolean copiedByOwner) {
    this.memory = memory;
    this.pool = pool;
    this.copiedByOwner = copiedByOwner;
  }

  private BlkIo begin(BlkOperation what) {
    if (isBusy()) {
      throw new IllegalStateException("a request that has not ended");
    }
    operation = what;
    offset = 0;
    unmap = false;
    Arrays.fill(segments, 0, count, null);
    count = 0;
    bytes = 0;
    foreignBytes = 0;
    ranges = 0;
    return this;
  }

  /**
   * Will read; data is added next.
   *
   * @param at where, in bytes, a multiple of 512
   * @throws IllegalStateException when it has not ended
   */
  public BlkIo read(long at) {
    begin(BlkOperation.READ).offset = at;
    return this;
  }

  /** As {@link #read(long)}, to write. */
  public BlkIo write(long at) {
    begin(BlkOperation.WRITE).offset = at;
    return this;
  }

  /** Will make every write stable that has completed before the submission. */
  public BlkIo flush() {
    return begin(BlkOperation.FLUSH);
  }

  /** Will give up ranges, which are added next; what they read as afterwards is undefined. */
  public BlkIo discard() {
    return begin(BlkOperation.DISCARD);
  }

  /**
   * Will make ranges read as zeroes; they are added next.
   *
   * @param mayUnmap whether the device may deallocate them
   */
  public BlkIo writeZeroes(boolean mayUnmap) {
    begin(BlkOperation.WRITE_ZEROES).unmap = mayUnmap;
    return this;
  }

  /** Will erase ranges such that no copy of their data is left; they are added next. */
  public BlkIo secureErase() {
    return begin(BlkOperation.SECURE_ERASE);
  }

  /**
   * Will get the device id string.
   *
   * @param target 20 bytes, padded with NUL
   */
  public BlkIo getId(MemorySegment target) {
    return begin(BlkOperation.GET_ID).fixed(target, VirtioBlk.VIRTIO_BLK_ID_BYTES);
  }

  /**
   * Will get struct virtio_blk_lifetime.
   *
   * @param target 6 bytes
   */
  public BlkIo getLifetime(MemorySegment target) {
    return begin(BlkOperation.GET_LIFETIME).fixed(target, BlkLifetime.BYTES);
  }

  private BlkIo fixed(MemorySegment target, int size) {
    if (target.byteSize() != size) {
      throw new IllegalArgumentException(operation + " takes " + size + " bytes");
    }
    return add(target);
  }

  /**
   * Adds data of a read or write, behind what there is.
   *
   * @throws IllegalArgumentException when the segment is empty, read-only though it is to be read
   *     into, or neither shared with the device nor accessible by other threads
   * @throws IllegalStateException when the request has no data
   */
  public BlkIo add(MemorySegment data) {
    if (isBusy() || operation == BlkOperation.FLUSH || operation.hasRanges()) {
      throw new IllegalStateException("no data can be added");
    }
    long length = data.byteSize();
    if (length == 0 || (operation.isInput() && data.isReadOnly())) {
      throw new IllegalArgumentException(length == 0 ? "no data" : "the target is read-only");
    }
    if (count == lengths.length) {
      growData();
    }
    if (memory.isShared(data)) {
      addresses[count] = memory.deviceAddress(data);
      bounceAt[count] = IN_PLACE;
    } else {
      if (copiedByOwner && !data.isAccessibleBy(ANOTHER)) {
        throw new IllegalArgumentException("only one thread may access the data");
      }
      bounceAt[count] = foreignBytes;
      foreignBytes += length;
    }
    segments[count] = data;
    lengths[count] = length;
    count++;
    bytes += length;
    return this;
  }

  private void growData() {
    segments = Arrays.copyOf(segments, 2 * count);
    addresses = Arrays.copyOf(addresses, 2 * count);
    lengths = Arrays.copyOf(lengths, 2 * count);
    bounceAt = Arrays.copyOf(bounceAt, 2 * count);
  }

  /**
   * Adds a range to a discard, write zeroes or secure erase.
   *
   * @param at in bytes, a multiple of 512
   * @param length in bytes, a multiple of 512
   * @throws IllegalArgumentException when they are not, or are negative
   * @throws IllegalStateException when the request has no ranges
   */
  public BlkIo range(long at, long length) {
    if (isBusy() || !operation.hasRanges()) {
      throw new IllegalStateException("no range can be added");
    }
    checkAligned(at, length);
    if (ranges == rangeSector.length) {
      rangeSector = Arrays.copyOf(rangeSector, 2 * ranges);
      rangeSectors = Arrays.copyOf(rangeSectors, 2 * ranges);
    }
    rangeSector[ranges] = at / VirtioBlk.SECTOR_SIZE;
    rangeSectors[ranges] = length / VirtioBlk.SECTOR_SIZE;
    ranges++;
    bytes += length;
    return this;
  }

  static void checkAligned(long at, long length) {
    if (((at | length) & (VirtioBlk.SECTOR_SIZE - 1)) != 0 || at < 0 || length < 0) {
      throw new IllegalArgumentException(
          "offset " + at + " and length " + length + " must be multiples of 512");
    }
  }

  /** Who is told when it ends, from now on; null for nobody. */
  public BlkIo onCompletion(BlkCallback whom) {
    callback = whom;
    return this;
  }

  /** Attaches whatever the callback needs. */
  public BlkIo attach(Object object) {
    attachment = object;
    return this;
  }

  /** What {@link #attach} has attached, or null. */
  public Object attachment() {
    return attachment;
  }

  /** What is to be done. */
  public BlkOperation operation() {
    return operation;
  }

  /** Where a read or write begins, in bytes. */
  public long offset() {
    return offset;
  }

  /** Bytes of data, or of all ranges. */
  public long bytes() {
    return bytes;
  }

  /** Whether it has been submitted and has not ended. Any thread. */
  public boolean isBusy() {
    return (int) STATE.getAcquire(this) == BUSY;
  }

  /** Whether it has ended, so that its results count. Any thread. */
  public boolean isDone() {
    return (int) STATE.getAcquire(this) == DONE;
  }

  /** Whether it has ended and all was done. */
  public boolean isOk() {
    return isDone() && status == VirtioBlk.VIRTIO_BLK_S_OK;
  }

  /**
   * The device's answer: VIRTIO_BLK_S_OK, VIRTIO_BLK_S_IOERR or VIRTIO_BLK_S_UNSUPP; {@link
   * #STATUS_NONE} when there is a {@link #failure} instead.
   */
  public int status() {
    return status;
  }

  /** Why there is no answer that counts: the device is broken or gone, or it lied; else null. */
  public IOException failure() {
    return failure;
  }

  /**
   * Does nothing when all was done.
   *
   * @throws IOException otherwise, saying why
   * @throws IllegalStateException when it has not ended
   */
  public void check() throws IOException {
    if (!isDone()) {
      throw new IllegalStateException("a request that has not ended");
    }
    if (failure != null) {
      throw new IOException(this + ": " + failure.getMessage(), failure);
    }
    if (status != VirtioBlk.VIRTIO_BLK_S_OK) {
      String name = status == VirtioBlk.VIRTIO_BLK_S_IOERR ? "IOERR" : "UNSUPP";
      throw new IOException(this + ": VIRTIO_BLK_S_" + name);
    }
  }

  // ---- for the driver ----

  boolean isOf(BouncePool drivers) {
    return pool == drivers;
  }

  boolean unmap() {
    return unmap;
  }

  int segmentCount() {
    return count;
  }

  long deviceAddress(int segment) {
    return addresses[segment];
  }

  long length(int segment) {
    return lengths[segment];
  }

  int rangeCount() {
    return ranges;
  }

  long rangeSector(int range) {
    return rangeSector[range];
  }

  long rangeSectors(int range) {
    return rangeSectors[range];
  }

  /** How many elements the data takes when none is longer than this. */
  long elements(long maxSegmentBytes) {
    long elements = count;
    for (int i = 0; i < count; i++) {
      if (lengths[i] > maxSegmentBytes) {
        elements += (lengths[i] - 1) / maxSegmentBytes;
      }
    }
    return elements;
  }

  /** It is the driver's from now on; puts foreign data where the device sees it. */
  void submitted() throws IOException {
    if (foreignBytes > 0) {
      bounce();
    }
    status = STATUS_NONE;
    failure = null;
    next = null;
    STATE.setRelease(this, BUSY);
  }

  private void bounce() throws IOException {
    bounce = pool.take(foreignBytes);
    boolean whole = false;
    try {
      long base = memory.deviceAddress(bounce);
      for (int i = 0; i < count; i++) {
        if (bounceAt[i] != IN_PLACE) {
          addresses[i] = base + bounceAt[i];
          if (!operation.isInput()) {
            MemorySegment.copy(segments[i], 0, bounce, bounceAt[i], lengths[i]);
          }
        }
      }
      whole = true;
    } finally {
      if (!whole) {
        releaseBounce(true);
      }
    }
  }

  /** The queue did not take it. */
  void refused() {
    releaseBounce(true);
    STATE.setRelease(this, IDLE);
  }

  /**
   * It has ended.
   *
   * @param letGo whether the device does not use its data any more
   */
  void ended(int answer, IOException why, boolean letGo) {
    status = answer;
    failure = why;
    if (bounce != null) {
      if (answer == VirtioBlk.VIRTIO_BLK_S_OK && !copiedByOwner) {
        // Whoever waits calls copyBack.
        STATE.setRelease(this, DONE);
        return;
      }
      if (answer == VirtioBlk.VIRTIO_BLK_S_OK) {
        copyBack();
      } else {
        releaseBounce(letGo);
      }
    }
    STATE.setRelease(this, DONE);
  }

  /** Copies what was read to where the user wants it. */
  void copyBack() {
    if (bounce == null) {
      return;
    }
    try {
      if (operation.isInput()) {
        for (int i = 0; i < count; i++) {
          if (bounceAt[i] != IN_PLACE) {
            MemorySegment.copy(bounce, bounceAt[i], segments[i], 0, lengths[i]);
          }
        }
      }
    } catch (RuntimeException e) {
      // The user has closed the segment meanwhile.
      status = STATUS_NONE;
      failure = new IOException("cannot write to the target of a read", e);
    } finally {
      releaseBounce(true);
    }
  }

  private void releaseBounce(boolean letGo) {
    if (bounce != null) {
      if (letGo) {
        pool.give(bounce);
      } else {
        pool.quarantine(bounce);
      }
      bounce = null;
    }
  }

  BlkCallback callback() {
    return callback;
  }

  @Override
  public String toString() {
    return operation
        + (operation == BlkOperation.READ || operation == BlkOperation.WRITE ? " at " + offset : "")
        + (ranges > 0 ? " at " + rangeSector[0] * VirtioBlk.SECTOR_SIZE : "")
        + ", "
        + bytes
        + " bytes";
  }
}
