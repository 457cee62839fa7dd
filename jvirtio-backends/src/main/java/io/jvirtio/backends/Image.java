// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.devices.blk.BlockCapabilities;
import io.jvirtio.linux.BlockDevice;
import io.jvirtio.linux.Errno;
import io.jvirtio.linux.FileStatus;
import io.jvirtio.linux.FileType;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.OpenFlag;
import io.jvirtio.linux.RawFile;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** An image that is open, locked and fit to be served, and what the host can do with it. */
final class Image implements AutoCloseable {
  private static final Logger LOG = System.getLogger(Image.class.getName());
  private static final int SECTOR = 512;

  /** Where the kernel does not tell what O_DIRECT needs: enough for every disk there is. */
  private static final int SAFE_ALIGNMENT = 4096;

  private final RawFile file;
  private final boolean blockDevice;
  private final long openedSize;
  private final int transferUnit;
  private final int blockSize;
  private final int physicalBlockSize;
  private final int memoryAlignment;
  private final BlockCapabilities capabilities;

  /**
   * What turned out to be missing while it was tried. Any thread; a late view costs one try more.
   */
  private volatile boolean punchHoleMissing;

  private volatile boolean zeroRangeMissing;

  private boolean closed;

  private Image(RawFile file, FileStatus status, RawFileOptions options) throws LinuxException {
    this.file = file;
    this.blockDevice = status.type() == FileType.BLOCK_DEVICE;
    this.openedSize = file.size();
    int least = SECTOR;
    int physical = status.blockSize();
    if (blockDevice) {
      least = BlockDevice.logicalBlockSize(file.fd());
      physical = BlockDevice.physicalBlockSize(file.fd());
    }
    if (options.direct()) {
      int offset = status.directOffsetAlignment();
      least = Math.max(least, offset > 0 ? offset : SAFE_ALIGNMENT);
      int memory = status.directMemoryAlignment();
      memoryAlignment = memory > 0 ? memory : SAFE_ALIGNMENT;
    } else {
      memoryAlignment = 1;
    }
    transferUnit = least;
    blockSize = options.blockSize() == 0 ? least : options.blockSize();
    physicalBlockSize = Integer.bitCount(physical) == 1 ? Math.min(physical, 1 << 16) : blockSize;
    if (blockSize < least) {
      throw new IllegalArgumentException(
          "block size is " + blockSize + ", but it can only be read in units of " + least);
    }
    capabilities = options.readOnly() ? BlockCapabilities.NONE : probe(options.discard());
  }

  static Image open(RawFileOptions options) throws ImageException {
    Path path = options.path();
    RawFile file = null;
    try {
      file = RawFile.open(path, flags(options));
      FileStatus status = file.status();
      checkType(path, status);
      lock(file, options.readOnly());
      if (!options.readOnly()
          && status.type() == FileType.BLOCK_DEVICE
          && BlockDevice.isReadOnly(file.fd())) {
        throw new ImageException(path + " is a read-only block device");
      }
      Image image = new Image(file, status, options);
      image.checkSize(path);
      file = null;
      return image;
    } catch (LinuxException e) {
      throw new ImageException(explain(path, e, options), e);
    } catch (IllegalArgumentException e) {
      throw new ImageException(path + ": " + e.getMessage(), e);
    } finally {
      if (file != null) {
        file.close();
      }
    }
  }

  private static OpenFlag[] flags(RawFileOptions options) {
    List<OpenFlag> flags = new ArrayList<>();
    flags.add(options.readOnly() ? OpenFlag.READ_ONLY : OpenFlag.READ_WRITE);
    if (options.direct()) {
      flags.add(OpenFlag.DIRECT);
    }
    return flags.toArray(OpenFlag[]::new);
  }

  private static void checkType(Path path, FileStatus status) throws ImageException {
    switch (status.type()) {
      case REGULAR, BLOCK_DEVICE -> {}
      case DIRECTORY -> throw new ImageException(path + " is a directory, not an image");
      case CHARACTER_DEVICE, SOCKET, PIPE, OTHER ->
          throw new ImageException(path + " is neither a regular file nor a block device");
    }
  }

  private static void lock(RawFile file, boolean readOnly) throws LinuxException, ImageException {
    if (!file.tryLock(!readOnly)) {
      throw new ImageException(
          file.path()
              + (readOnly
                  ? " is being written by another program, which has locked it"
                  : " is in use by another program, which has locked it"));
    }
  }

  private static String explain(Path path, LinuxException e, RawFileOptions options) {
    return switch (e.errno()) {
      case Errno.ENOENT -> path + " does not exist";
      case Errno.ENOTDIR -> path + " does not exist: a part of the path is not a directory";
      case Errno.EISDIR -> path + " is a directory, not an image";
      case Errno.EACCES, Errno.EPERM, Errno.EROFS ->
          path + (options.readOnly() ? " cannot be read: " : " cannot be written: ") + text(e);
      case Errno.ENXIO -> path + " is neither a regular file nor a block device";
      case Errno.EINVAL ->
          options.direct()
              ? path + " is on a file system that cannot do direct input and output"
              : path + ": " + e.getMessage();
      default -> path + ": " + e.getMessage();
    };
  }

  private static String text(LinuxException e) {
    return Errno.text(e.errno()).toLowerCase(Locale.ROOT);
  }

  private void checkSize(Path path) throws ImageException {
    if (openedSize == 0) {
      throw new ImageException(path + " is empty");
    }
    if (openedSize % blockSize != 0) {
      throw new ImageException(
          path
              + " has "
              + openedSize
              + " bytes, which is no multiple of the block size "
              + blockSize);
    }
  }

  /** What discard, zeroing and erasing the host can do, found by asking for what has no effect. */
  private BlockCapabilities probe(boolean discardWanted) {
    if (blockDevice) {
      // A misaligned range is refused (EINVAL) only after support was checked (EOPNOTSUPP).
      boolean discard = discardWanted && BlockDevice.discard(file.fd(), 1, 1) != -Errno.EOPNOTSUPP;
      boolean erase = BlockDevice.secureErase(file.fd(), 1, 1) != -Errno.EOPNOTSUPP;
      return new BlockCapabilities(discard, true, discard, erase);
    }
    // Behind the end there is nothing to punch out.
    long behind = (openedSize + physicalBlockSize) / physicalBlockSize * physicalBlockSize;
    boolean punch = discardWanted && file.punchHole(behind, physicalBlockSize) == 0;
    return new BlockCapabilities(punch, true, punch, false);
  }

  RawFile file() {
    return file;
  }

  boolean isBlockDevice() {
    return blockDevice;
  }

  /** Bytes when it was opened. */
  long openedSize() {
    return openedSize;
  }

  /** Bytes of the whole blocks in so many bytes. */
  long wholeBlocks(long bytes) {
    return bytes / blockSize * blockSize;
  }

  int blockSize() {
    return blockSize;
  }

  int physicalBlockSize() {
    return physicalBlockSize;
  }

  /** What offsets and lengths must be a multiple of, when {@link #memoryAlignment} is not 1. */
  int transferUnit() {
    return transferUnit;
  }

  /** What addresses of memory must be a multiple of; 1 when they are free. */
  int memoryAlignment() {
    return memoryAlignment;
  }

  BlockCapabilities capabilities() {
    return capabilities;
  }

  boolean canPunchHole() {
    return !punchHoleMissing;
  }

  boolean canZeroRange() {
    return !zeroRangeMissing;
  }

  void punchHoleIsMissing() {
    punchHoleMissing = true;
  }

  void zeroRangeIsMissing() {
    zeroRangeMissing = true;
  }

  /** Unlocks and closes the image. */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      // A ring that was closed just now may hold the open file, and with it the lock, a little
      // longer.
      file.unlock();
    } catch (LinuxException e) {
      LOG.log(Level.WARNING, "{0}: {1}", file.path(), e.getMessage());
    } finally {
      file.close();
    }
  }
}
