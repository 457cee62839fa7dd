// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.raw.RawMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RawFileTest {
  private static final int SIZE = 1 << 20;

  @TempDir Path directory;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment memory = arena.allocate(SIZE, 4096);
  private OpenFds before;
  private Path path;
  private RawFile file;

  @BeforeEach
  void create() throws IOException {
    before = OpenFds.now();
    path = directory.resolve("image");
    file = RawFile.open(path, OpenFlag.READ_WRITE, OpenFlag.CREATE, OpenFlag.EXCLUSIVE);
    file.resize(SIZE);
  }

  @AfterEach
  void close() throws IOException {
    file.close();
    before.assertUnchanged();
    arena.close();
  }

  @Test
  void writtenByAddressAndReadBack() throws IOException {
    memory.fill((byte) 0x5a);
    assertEquals(5000, file.pwrite(memory.address(), 5000, 123));
    memory.fill((byte) 0);
    assertEquals(5002, file.pread(memory.address(), 5002, 122));
    assertEquals(0, RawMemory.getByte(memory.address()));
    assertEquals(0x5a, RawMemory.getByte(memory.address() + 1));
    assertEquals(0x5a, RawMemory.getByte(memory.address() + 5000));
    assertEquals(0, RawMemory.getByte(memory.address() + 5001));
    assertEquals(0x5a, Files.readAllBytes(path)[123]);
    assertEquals(0, file.dataSync());
  }

  @Test
  void readsEndWhereTheFileEnds() {
    assertEquals(10, file.pread(memory.address(), 4096, SIZE - 10));
    assertEquals(0, file.pread(memory.address(), 4096, SIZE));
    assertEquals(-Errno.EINVAL, file.pread(memory.address(), 4096, -1));
  }

  @Test
  void vectorsGatherAndScatter() throws IOException {
    Iovecs iovecs = new Iovecs(3);
    assertEquals(3, iovecs.capacity());
    for (int i = 0; i < 3; i++) {
      long piece = memory.address() + 1000L * i;
      RawMemory.putByte(piece, i + 1);
      iovecs.set(i, piece, i + 1);
      assertEquals(i + 1, iovecs.length(i));
    }
    assertEquals(6, file.pwritev(iovecs.address(0), 3, 1_000, RawFile.RWF_DSYNC));
    byte[] written = Files.readAllBytes(path);
    assertArrayEquals(
        new byte[] {1, 2, 0, 3, 0, 0}, java.util.Arrays.copyOfRange(written, 1_000, 1_006));
    memory.fill((byte) 9);
    assertEquals(5, file.preadv(iovecs.address(1), 2, 1_001, 0));
    assertEquals(2, RawMemory.getByte(memory.address() + 1000));
    assertEquals(3, RawMemory.getByte(memory.address() + 2000));
    assertEquals(9, RawMemory.getByte(memory.address() + 1002));
    assertThrows(IndexOutOfBoundsException.class, () -> iovecs.set(3, 0, 0));
    assertEquals(-Errno.EINVAL, file.preadv(iovecs.address(0), Iovecs.MAX_PER_CALL + 1, 0, 0));
  }

  @Test
  void holesGiveSpaceBack() throws IOException {
    memory.fill((byte) 1);
    assertEquals(SIZE, file.pwrite(memory.address(), SIZE, 0));
    assertEquals(0, file.dataSync());
    assertTrue(file.status().allocated() >= SIZE);
    assertEquals(0, file.punchHole(0, SIZE / 2));
    assertTrue(file.status().allocated() <= SIZE / 2 + 65536);
    assertEquals(SIZE, file.size());
    assertEquals(0, file.zeroRange(SIZE / 2, 4096));
    assertEquals(8, file.pread(memory.address(), 8, SIZE / 2));
    assertEquals(0, RawMemory.getLong(memory.address()));
    assertEquals(8, file.pread(memory.address(), 8, SIZE / 2 + 4096));
    assertEquals(0x0101010101010101L, RawMemory.getLong(memory.address()));
    assertEquals(-Errno.EINVAL, file.fallocate(0, 0, 0));
  }

  @Test
  void statusTellsWhatItIs() throws IOException {
    FileStatus status = file.status();
    assertEquals(FileType.REGULAR, status.type());
    assertEquals(SIZE, status.size());
    assertTrue(status.blockSize() >= 512);
    assertEquals(Files.getAttribute(path, "unix:ino"), status.inode());
    assertEquals(status, FileStatus.of(path));
    file.resize(5);
    assertEquals(5, file.size());
    assertEquals(FileType.DIRECTORY, FileStatus.of(directory).type());
    assertEquals(FileType.CHARACTER_DEVICE, FileStatus.of(Path.of("/dev/null")).type());
    try (EventFd event = EventFd.create();
        UnixSocketPair pair = new UnixSocketPair(null)) {
      assertEquals(FileType.OTHER, FileStatus.of(event.fd()).type());
      assertEquals(FileType.SOCKET, FileStatus.of(pair.a.fd()).type());
    }
  }

  @Test
  void directAccessNeedsAlignment() throws IOException {
    try (RawFile direct = RawFile.open(path, OpenFlag.READ_WRITE, OpenFlag.DIRECT)) {
      assertEquals(4096, direct.pwrite(memory.address(), 4096, 4096));
      assertEquals(4096, direct.pread(memory.address(), 4096, 4096));
      assertEquals(-Errno.EINVAL, direct.pread(memory.address() + 1, 4096, 4096));
    }
  }

  @Test
  void holesAreFound() {
    assertEquals(-Errno.ENXIO, file.seekData(0));
    assertEquals(0, file.seekHole(0));
    assertEquals(4096, file.pwrite(memory.address(), 4096, 1 << 18));
    // Which blocks a file system takes for that is its own business, but not more than these.
    long data = file.seekData(0);
    assertTrue(data >= 0 && data <= 1 << 18, "data at " + data);
    long hole = file.seekHole(1 << 18);
    assertTrue(hole >= (1 << 18) + 4096 && hole <= SIZE, "hole at " + hole);
    assertEquals(-Errno.ENXIO, file.seekData(SIZE));
    assertEquals(-Errno.ENXIO, file.seekHole(SIZE));
  }

  @Test
  void locksExcludeOtherOpenings() throws IOException {
    try (RawFile other = RawFile.open(path, OpenFlag.READ_ONLY)) {
      assertTrue(file.tryLock(true));
      assertFalse(other.tryLock(false));
      file.unlock();
      assertTrue(other.tryLock(false));
      assertTrue(file.tryLock(false));
      assertFalse(file.tryLock(true));
    }
    assertTrue(file.tryLock(true));
  }

  @Test
  void openSaysWhatIsWrong() {
    assertEquals(Errno.ENOENT, failure("missing", OpenFlag.READ_ONLY));
    assertEquals(Errno.ENOTDIR, failure("image/below", OpenFlag.READ_ONLY));
    assertEquals(Errno.EISDIR, failure(".", OpenFlag.READ_WRITE));
    assertEquals(
        Errno.EEXIST, failure("image", OpenFlag.READ_WRITE, OpenFlag.CREATE, OpenFlag.EXCLUSIVE));
  }

  private int failure(String name, OpenFlag... flags) {
    Path target = directory.resolve(name);
    LinuxException e = assertThrows(LinuxException.class, () -> RawFile.open(target, flags));
    assertTrue(e.getMessage().contains(target.toString()), e.getMessage());
    return e.errno();
  }

  @Test
  void truncatedMemoryIsAnErrorNumber() throws LinuxException {
    try (Truncated truncated = new Truncated()) {
      assertEquals(-Errno.EFAULT, file.pread(truncated.mapping.address(), 512, 0));
      assertEquals(-Errno.EFAULT, file.pwrite(truncated.mapping.address(), 512, 0));
    }
  }

  @Test
  void aFileIsNoBlockDevice() throws LinuxException {
    assertEquals(
        Errno.ENOTTY,
        assertThrows(LinuxException.class, () -> BlockDevice.size(file.fd())).errno());
    assertThrows(LinuxException.class, () -> BlockDevice.logicalBlockSize(file.fd()));
    assertThrows(LinuxException.class, () -> BlockDevice.physicalBlockSize(file.fd()));
    assertThrows(LinuxException.class, () -> BlockDevice.minimumTransfer(file.fd()));
    assertThrows(LinuxException.class, () -> BlockDevice.optimalTransfer(file.fd()));
    assertThrows(LinuxException.class, () -> BlockDevice.isReadOnly(file.fd()));
    assertEquals(-Errno.ENOTTY, BlockDevice.discard(file.fd(), 0, 4096));
    assertEquals(-Errno.ENOTTY, BlockDevice.secureErase(file.fd(), 0, 4096));
    assertEquals(-Errno.ENOTTY, BlockDevice.zeroOut(file.fd(), 0, 4096));
  }
}
