// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.linux.Errno;
import io.jvirtio.linux.FileStatus;
import io.jvirtio.linux.FileType;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.OpenFlag;
import io.jvirtio.linux.RawFile;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** The file at one end of a copy. */
final class CopyFile implements AutoCloseable {
  /** File systems make holes of whole blocks. */
  private static final int BLOCK = 4096;

  private final RawFile file;
  private final Path path;

  /** Where a new file grows until it is complete; null for a file that was there. */
  private final Path partial;

  private final boolean regular;
  private boolean written;
  private boolean complete;

  private CopyFile(RawFile file, Path path, Path partial) throws LinuxException {
    this.file = file;
    this.path = path;
    this.partial = partial;
    this.regular = file.status().type() == FileType.REGULAR;
  }

  /** A file to be read: a regular file or a block device. */
  static CopyFile source(Path path) throws CliException {
    return open(path, null, OpenFlag.READ_ONLY);
  }

  /**
   * A file to be written.
   *
   * @param replace whether it may replace one
   */
  static CopyFile target(Path path, boolean replace) throws CliException {
    if (Files.isDirectory(path)) {
      throw new CliException(path + " is a directory: name a file");
    }
    boolean exists = Files.exists(path);
    if (exists && !replace) {
      throw new CliException(path + " exists: name another file, or replace it with --force");
    }
    if (exists && !Files.isRegularFile(path)) {
      // A block device, or something that is refused.
      return open(path, null, OpenFlag.READ_WRITE);
    }
    Path real = real(path);
    Path partial =
        real.resolveSibling(real.getFileName() + ".partial-" + ProcessHandle.current().pid());
    return open(real, partial, OpenFlag.READ_WRITE, OpenFlag.CREATE, OpenFlag.EXCLUSIVE);
  }

  /** Where symbolic links lead. */
  private static Path real(Path path) throws CliException {
    try {
      return Files.exists(path) ? path.toRealPath() : path;
    } catch (IOException e) {
      throw new CliException(path + ": " + e.getMessage(), e);
    }
  }

  private static CopyFile open(Path path, Path partial, OpenFlag... flags) throws CliException {
    try {
      if (partial == null) {
        // Before it is opened: a pipe would wait for somebody at its other end.
        FileType type = FileStatus.of(real(path)).type();
        if (type == FileType.DIRECTORY) {
          throw new CliException(path + " is a directory: name a file");
        }
        if (type != FileType.REGULAR && type != FileType.BLOCK_DEVICE) {
          throw new CliException(path + " is neither a regular file nor a block device");
        }
      }
      RawFile file = RawFile.open(partial == null ? path : partial, flags);
      return new CopyFile(file, path, partial);
    } catch (LinuxException e) {
      throw new CliException(explained(e, path, partial != null), e);
    }
  }

  private static String explained(LinuxException e, Path path, boolean creating) {
    return switch (e.errno()) {
      case Errno.ENOENT, Errno.ENOTDIR ->
          creating
              ? "there is no directory " + path.toAbsolutePath().getParent() + ": create it first"
              : "there is no file " + path;
      case Errno.EACCES, Errno.EPERM -> "not allowed to open " + path + ": check its permissions";
      default -> path + ": " + e.getMessage();
    };
  }

  /** Bytes. */
  long size() throws CliException {
    try {
      return file.size();
    } catch (LinuxException e) {
      throw failed(e);
    }
  }

  /** Gives a new file its size; other files must have it. */
  void prepare(long bytes) throws CliException {
    if (!regular && size() < bytes) {
      throw new CliException(
          path + " has " + size() + " bytes, but the device " + bytes + ": too small");
    }
    try {
      if (regular) {
        file.resize(bytes);
      }
    } catch (LinuxException e) {
      throw failed(e);
    }
  }

  private CliException failed(LinuxException e) {
    return new CliException(path + ": " + e.getMessage(), e);
  }

  private CliException failed(String call, long negated) {
    return failed(new LinuxException(call, (int) -negated));
  }

  /** Where data begins at or behind this; the end of the file when only a hole follows. */
  long seekData(long at) throws CliException {
    long found = file.seekData(at);
    return found == -Errno.ENXIO ? size() : seekable(found, at);
  }

  /** Where a hole begins at or behind this; the end of the file is one. */
  long seekHole(long at) throws CliException {
    long found = file.seekHole(at);
    return seekable(found, size());
  }

  /** What cannot tell, such as a block device, is all data. */
  private static long seekable(long found, long otherwise) {
    return found < 0 ? otherwise : found;
  }

  /**
   * Reads all of it.
   *
   * @throws CliException also when the file ends before
   */
  void read(MemorySegment target, long length, long at) throws CliException {
    for (long done = 0; done < length; ) {
      long count = file.pread(target.address() + done, length - done, at + done);
      if (count <= 0) {
        throw count == 0
            ? new CliException(path + " became shorter while it was read")
            : failed("read", count);
      }
      done += count;
    }
  }

  /**
   * Writes what is not zero; the rest stays a hole, where there can be one.
   *
   * @return bytes written
   */
  long writeSparse(MemorySegment source, long length, long at) throws CliException {
    if (!regular) {
      write(source, 0, length, at);
      return length;
    }
    long written = 0;
    for (long from = 0; from < length; ) {
      long to = Zeros.endOfRun(source, from, length, BLOCK);
      if (!Zeros.are(source, from, Math.min(to, from + BLOCK))) {
        write(source, from, to - from, at + from);
        written += to - from;
      }
      from = to;
    }
    return written;
  }

  private void write(MemorySegment source, long from, long length, long at) throws CliException {
    written = true;
    for (long done = 0; done < length; ) {
      long count = file.pwrite(source.address() + from + done, length - done, at + done);
      if (count < 0) {
        throw failed("write", count);
      }
      done += count;
    }
  }

  /** The copy is whole: puts a new file in its place. */
  void complete() throws CliException {
    try {
      if (partial != null) {
        Files.move(partial, path, StandardCopyOption.ATOMIC_MOVE);
      }
      complete = true;
    } catch (IOException e) {
      throw new CliException("cannot rename " + partial + " to " + path + ": " + e.getMessage(), e);
    }
  }

  /** Takes away what is not complete. Any thread. */
  void discard() {
    if (partial != null && !complete) {
      try {
        Files.deleteIfExists(partial);
      } catch (IOException e) {
        System.err.println("jvirtio copy: " + partial + " is left: " + e.getMessage());
      }
    }
  }

  /** What a failure leaves behind, to be told; empty if nothing. */
  String leftovers() {
    return written && partial == null && !complete ? "; " + path + " is partly written" : "";
  }

  /** Closes it, and removes it when it is new and not {@link #complete}. */
  @Override
  public void close() {
    file.close();
    discard();
  }
}
