// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.devices.blk.BlockRequest;
import io.jvirtio.linux.BlockDevice;
import io.jvirtio.linux.Errno;
import io.jvirtio.linux.Iovecs;
import io.jvirtio.linux.RawFile;
import io.jvirtio.queue.DescriptorChain;
import java.util.function.Consumer;

/**
 * One request as the system calls that it takes. {@link #prepare} says which call is next, {@link
 * #advance} takes its result and says whether it was the last. Who makes the calls, a ring or a
 * worker, is not its affair. Used again and again; one thread at a time.
 *
 * <pre>
 *   read, write    TRANSFER until all bytes have moved
 *   flush          SYNC
 *   discard        PUNCH, or DISCARD for a block device
 *   write zeroes   PUNCH --cannot--> ZERO --cannot--> FILL until all bytes are written, then SYNC
 *   secure erase   ERASE
 * </pre>
 */
final class FileOp {
  /** What to do. */
  enum Kind {
    READ,
    WRITE,
    FLUSH,
    DISCARD,
    WRITE_ZEROES,
    SECURE_ERASE
  }

  /** The system call that is next. */
  enum Call {
    /** {@link #length} bytes at {@link #address}, or {@link #vectors} iovecs when not 0. */
    READ,

    /** As {@link #READ}. */
    WRITE,

    /** fdatasync. */
    SYNC,

    /** fallocate, with {@link #flags} as its mode. */
    ALLOCATE,

    /** An ioctl of a block device, which only {@link #perform} can make: it blocks. */
    DEVICE
  }

  private enum Step {
    TRANSFER,
    SYNC,
    PUNCH,
    ZERO,
    FILL,
    DISCARD,
    ERASE
  }

  /** Segments in one vectored call; longer requests take several. Linux drivers stay below. */
  private static final int VECTORS = 128;

  private final Image image;
  private final BouncePool bounces;
  private final int number;
  private final Runnable task;

  private BlockRequest request;
  private Kind kind;
  private Step step;
  private long done;

  // Where the next byte of data is.
  private int segment;
  private int segmentOffset;

  private Iovecs iovecs;
  private Bounce bounce;

  // The next call.
  private Call call;
  private long address;
  private int length;
  private int vectors;
  private int flags;
  private long offset;
  private long allocation;

  private int result;

  /**
   * An operation of a channel.
   *
   * @param number by which the channel finds it again
   * @param onWorker what a worker does with it
   */
  FileOp(Image image, BouncePool bounces, int number, Consumer<FileOp> onWorker) {
    this.image = image;
    this.bounces = bounces;
    this.number = number;
    this.task = () -> onWorker.accept(this);
  }

  int number() {
    return number;
  }

  /** What a worker runs; the same object each time. */
  Runnable task() {
    return task;
  }

  void begin(Kind what, BlockRequest of) {
    request = of;
    kind = what;
    done = 0;
    result = BlockRequest.OK;
    step = firstStep();
    segment = of.firstSegment();
    segmentOffset = of.firstOffset();
  }

  private Step firstStep() {
    return switch (kind) {
      case READ, WRITE -> Step.TRANSFER;
      case FLUSH -> Step.SYNC;
      case DISCARD -> image.isBlockDevice() ? Step.DISCARD : Step.PUNCH;
      case WRITE_ZEROES -> firstZeroStep();
      case SECURE_ERASE -> Step.ERASE;
    };
  }

  private Step firstZeroStep() {
    if (request.unmap() && image.capabilities().mayUnmap() && image.canPunchHole()) {
      return Step.PUNCH;
    }
    return image.canZeroRange() ? Step.ZERO : Step.FILL;
  }

  /** The result for the request, once {@link #advance} has said so. */
  int result() {
    return result;
  }

  Call call() {
    return call;
  }

  long address() {
    return vectors > 0 ? iovecs.address(0) : address;
  }

  int length() {
    return length;
  }

  int vectors() {
    return vectors;
  }

  int flags() {
    return flags;
  }

  long offset() {
    return offset;
  }

  long allocation() {
    return allocation;
  }

  /**
   * Works out the next system call.
   *
   * @return false when it needs a bounce buffer and none is free: again when one is
   */
  boolean prepare() {
    offset = request.position() + done;
    flags = 0;
    vectors = 0;
    switch (step) {
      case TRANSFER -> {
        return prepareTransfer();
      }
      case SYNC -> call = Call.SYNC;
      case PUNCH -> allocate(RawFile.FALLOC_FL_PUNCH_HOLE | RawFile.FALLOC_FL_KEEP_SIZE);
      case ZERO -> allocate(RawFile.FALLOC_FL_ZERO_RANGE | RawFile.FALLOC_FL_KEEP_SIZE);
      case FILL -> {
        call = Call.WRITE;
        address = Zeroes.address();
        length = (int) Math.min(request.length() - done, Zeroes.SIZE);
      }
      case DISCARD, ERASE -> call = Call.DEVICE;
    }
    return true;
  }

  private void allocate(int mode) {
    call = Call.ALLOCATE;
    flags = mode;
    allocation = request.length();
  }

  private boolean prepareTransfer() {
    call = kind == Kind.READ ? Call.READ : Call.WRITE;
    if (kind == Kind.WRITE && request.stable()) {
      flags = RawFile.RWF_DSYNC;
    }
    DescriptorChain chain = request.chain();
    long left = request.length() - done;
    int here = chain.segmentLength(segment) - segmentOffset;
    if (image.memoryAlignment() > 1 && (bounce != null || !isAligned(chain, left))) {
      return prepareBounce(left);
    }
    if (here >= left) {
      address = chain.segmentAddress(segment) + segmentOffset;
      length = (int) left;
    } else {
      gather(chain, left);
    }
    return true;
  }

  private void gather(DescriptorChain chain, long left) {
    if (iovecs == null) {
      iovecs = new Iovecs(VECTORS);
    }
    int at = segment;
    int skip = segmentOffset;
    long rest = left;
    while (rest > 0 && vectors < VECTORS) {
      long bytes = Math.min(rest, chain.segmentLength(at) - skip);
      iovecs.set(vectors++, chain.segmentAddress(at) + skip, bytes);
      rest -= bytes;
      at++;
      skip = 0;
    }
  }

  private boolean isAligned(DescriptorChain chain, long left) {
    int at = segment;
    int skip = segmentOffset;
    long rest = left;
    long addresses = 0;
    long lengths = 0;
    while (rest > 0) {
      long bytes = Math.min(rest, chain.segmentLength(at) - skip);
      addresses |= chain.segmentAddress(at) + skip;
      lengths |= bytes;
      rest -= bytes;
      at++;
      skip = 0;
    }
    return (addresses & (image.memoryAlignment() - 1)) == 0
        && (lengths & (image.transferUnit() - 1)) == 0;
  }

  private boolean prepareBounce(long left) {
    if (bounce == null) {
      bounce = bounces.take();
      if (bounce == null) {
        return false;
      }
    }
    address = bounce.address();
    length = (int) Math.min(left, Bounce.SIZE);
    if (kind == Kind.WRITE) {
      bounce.gather(request.chain(), segment, segmentOffset, length);
    }
    return true;
  }

  /**
   * Takes the result of the system call.
   *
   * @param value a count, or a negated error number
   * @return whether the request has ended, with {@link #result}
   */
  boolean advance(long value) {
    if (value == -Errno.EINTR || value == -Errno.EAGAIN) {
      return false;
    }
    return switch (step) {
      case TRANSFER -> advanceTransfer(value);
      case FILL -> advanceFill(value);
      case PUNCH, ZERO -> advanceAllocation(value);
      case SYNC, DISCARD, ERASE -> finish(value);
    };
  }

  private boolean advanceTransfer(long moved) {
    if (moved <= 0) {
      // Nothing moved: the image ends before the request does, because somebody has cut it.
      return finish(moved == 0 ? -Errno.EIO : moved);
    }
    if (bounce != null && kind == Kind.READ) {
      bounce.scatter(request.chain(), segment, segmentOffset, (int) moved);
    }
    done += moved;
    if (done == request.length()) {
      return finish(0);
    }
    DescriptorChain chain = request.chain();
    long left = moved + segmentOffset;
    while (left >= chain.segmentLength(segment)) {
      left -= chain.segmentLength(segment);
      segment++;
    }
    segmentOffset = (int) left;
    return false;
  }

  private boolean advanceFill(long moved) {
    if (moved <= 0) {
      return finish(moved == 0 ? -Errno.EIO : moved);
    }
    done += moved;
    return done == request.length() && zeroed();
  }

  private boolean advanceAllocation(long value) {
    if (value == -Errno.EOPNOTSUPP || value == -Errno.ENOSYS) {
      if (kind == Kind.DISCARD) {
        return finish(-Errno.EOPNOTSUPP);
      }
      if (step == Step.PUNCH) {
        image.punchHoleIsMissing();
      } else {
        image.zeroRangeIsMissing();
      }
      step = step == Step.PUNCH && image.canZeroRange() ? Step.ZERO : Step.FILL;
      return false;
    }
    return value < 0 || kind == Kind.DISCARD ? finish(value) : zeroed();
  }

  /** The zeroes are written; what is left is to make them stable, where that is asked for. */
  private boolean zeroed() {
    if (!request.stable()) {
      return finish(0);
    }
    step = Step.SYNC;
    return false;
  }

  private boolean finish(long value) {
    result = value < 0 ? (int) -value : BlockRequest.OK;
    if (bounce != null) {
      bounces.give(bounce);
      bounce = null;
    }
    return true;
  }

  /** Makes the prepared call on the current thread. */
  long perform() {
    RawFile file = image.file();
    return switch (call) {
      case READ ->
          vectors > 0
              ? file.preadv(address(), vectors, offset, 0)
              : file.pread(address, length, offset);
      case WRITE -> performWrite(file);
      case SYNC -> file.dataSync();
      case ALLOCATE -> file.fallocate(flags, offset, allocation);
      case DEVICE ->
          step == Step.DISCARD
              ? BlockDevice.discard(file.fd(), offset, request.length())
              : BlockDevice.secureErase(file.fd(), offset, request.length());
    };
  }

  private long performWrite(RawFile file) {
    if (vectors == 0 && flags == 0) {
      return file.pwrite(address, length, offset);
    }
    if (vectors == 0) {
      // Only the vectored call takes flags.
      if (iovecs == null) {
        iovecs = new Iovecs(VECTORS);
      }
      iovecs.set(0, address, length);
      return file.pwritev(iovecs.address(0), 1, offset, flags);
    }
    return file.pwritev(address(), vectors, offset, flags);
  }

  /** Ends the request with an error from outside the system calls, such as vanished memory. */
  void fail(int error) {
    finish(-error);
  }

  /** Lets go of the request, which has ended. */
  BlockRequest end() {
    BlockRequest ended = request;
    request = null;
    return ended;
  }
}
