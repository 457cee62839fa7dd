// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.jvirtio.linux.Errno;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.Memfd;
import io.jvirtio.linux.OpenFlag;
import io.jvirtio.linux.RawFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a client may say about its memory, and what it may not. */
class DmaTest extends WithClient {
  private static final long PAGE = 0x1000;

  private int map(int flags, long offset, long address, long size, Fd fd) throws IOException {
    byte[] map = Client.map(flags, offset, address, size);
    int[] fds = fd == null ? new int[0] : new int[] {fd.value()};
    client.send(VfioUserCommand.DMA_MAP, map, fds);
    return client.receive().error();
  }

  private int unmap(int flags, long address, long size) throws IOException {
    client.send(VfioUserCommand.DMA_UNMAP, Client.unmap(flags, address, size));
    return client.receive().error();
  }

  @Test
  void aQueueRunsInSharedMemory() throws IOException {
    Client.Ring ring = client.start();
    for (int i = 0; i < 100; i++) {
      ring.echo("echo " + i);
    }
  }

  @Test
  void unmapIsAnsweredWithWhatWasAsked() throws IOException {
    client.negotiate();
    client.makeMemory();
    client.mapMemory();
    ByteBuffer reply =
        client.call(VfioUserCommand.DMA_UNMAP, Client.unmap(0, Client.GUEST, Client.SIZE));
    assertEquals(24, reply.getInt());
    assertEquals(0, reply.getInt());
    assertEquals(Client.GUEST, reply.getLong());
    assertEquals(Client.SIZE, reply.getLong());
    assertFalse(reply.hasRemaining());
  }

  @Test
  void memoryMovesAboutWhileAQueueRuns() throws IOException {
    Client.Ring ring = client.start();
    ring.echo("before");
    for (int i = 1; i <= 20; i++) {
      // As firmware does: all of it away, back in pieces, some of them not writable.
      long cut = Client.SIZE - i * PAGE;
      int[] fd = {client.memfd.value()};
      client.send(VfioUserCommand.DMA_UNMAP, Client.unmap(0, Client.GUEST, Client.SIZE));
      client.send(VfioUserCommand.DMA_MAP, Client.map(3, 0, Client.GUEST, cut), fd);
      client.send(
          VfioUserCommand.DMA_MAP, Client.map(1, cut, Client.GUEST + cut, Client.SIZE - cut), fd);
      client.send(VfioUserCommand.DMA_UNMAP, Client.unmap(0, Client.GUEST, cut));
      client.send(VfioUserCommand.DMA_UNMAP, Client.unmap(0, Client.GUEST + cut, i * PAGE));
      client.send(VfioUserCommand.DMA_MAP, Client.map(3, 0, Client.GUEST, Client.SIZE), fd);
      for (int j = 0; j < 6; j++) {
        assertEquals(0, client.receive().error());
      }
      ring.echo("after " + i);
    }
    assertEquals(0, served.server.stats().faults());
  }

  @Test
  void aBufferWaitsForMemory() throws IOException {
    Client.Ring ring = client.start();
    client.call(VfioUserCommand.DMA_UNMAP, Client.unmap(0, Client.GUEST, Client.SIZE));
    ring.submit("submitted without memory");
    client.sync();
    client.mapMemory();
    client.post(Client.BAR, Client.NOTIFY, 2, 0);
    ring.expect("submitted without memory");
    assertEquals(0, served.server.stats().faults());
  }

  @Test
  void whatIsInFlightEndsBeforeItsMemoryGoes() throws IOException {
    Client.Ring ring = client.start();
    served.device.hold();
    ring.submit("held");
    Await.until("it is held", () -> served.device.held() == 1);
    client.send(VfioUserCommand.DMA_UNMAP, Client.unmap(0, Client.GUEST, Client.SIZE));
    assertFalse(client.socket.awaitReadable(50), "unmapped while in use");
    served.device.release();
    assertEquals(0, client.receive().error());
    ring.expect("held");
  }

  @Test
  void whatIsNotWritableIsNotWritten() throws IOException {
    client.negotiate();
    client.makeMemory();
    assertEquals(0, map(1, 0, Client.GUEST, Client.SIZE, client.memfd));
    Client.Ring ring = client.drive();
    ring.submit("not to be written");
    Await.until("it is taken", () -> served.server.stats().chains() == 1);
    client.write(Client.BAR, 0x14, 1, 0);
    assertEquals(0, ring.driver.pending());
  }

  @Test
  void aFileThatIsOnlyReadable() throws IOException {
    client.negotiate();
    Path path = Files.write(directory.resolve("file"), new byte[8192]);
    Fd file = client.own(RawFile.open(path, OpenFlag.READ_ONLY)).fd();
    assertEquals(0, map(1, 0, 0, 8192, file));
    assertEquals(Errno.EACCES, map(3, 0, 0x10000, 8192, file));
  }

  @Test
  void memoryWithoutAFileIsNoError() throws IOException {
    client.negotiate();
    assertEquals(0, map(1, 0, 0xfffc0000L, 0x40000, null));
    assertEquals(Errno.EEXIST, map(3, 0, 0xfffff000L, PAGE, null));
    assertEquals(0, unmap(0, 0xfffc0000L, 0x40000));
    assertEquals(0, map(3, 0, 0xfffff000L, PAGE, null));
  }

  @ParameterizedTest
  @CsvSource({"0, 1", "-1, 2", "4095, 1", "1, 4094", "-4096, 8192", "-1, 100000", "1, 4096"})
  void overlapsAreRefused(long lead, long size) throws IOException {
    client.negotiate();
    client.makeMemory();
    assertEquals(0, map(3, 0, 0x10000, PAGE, client.memfd));
    assertEquals(Errno.EEXIST, map(3, 0, 0x10000 + lead, size, client.memfd));
    assertEquals(0, map(3, 0, 0x11000, PAGE, client.memfd));
    assertEquals(0, map(3, 0, 0xf000, PAGE, client.memfd));
  }

  @ParameterizedTest
  @CsvSource({
    "3, 0, 0, 0",
    "3, 0, 0, -4096",
    "3, 0, -4096, 8192",
    "3, -1, 0, 4096",
    "3, 9223372036854771712, 0, 4097",
    "0, 0, 0, 4096",
    "4, 0, 0, 4096",
    "7, 0, 0, 4096"
  })
  void nonsenseIsRefused(int flags, long offset, long address, long size) throws IOException {
    client.negotiate();
    client.makeMemory();
    assertEquals(Errno.EINVAL, map(flags, offset, address, size, client.memfd));
    assertEquals(0, map(3, 0, 0, PAGE, client.memfd));
  }

  @Test
  void theLastByteOfTheAddressSpaceCanBeMapped() throws IOException {
    client.negotiate();
    client.makeMemory();
    assertEquals(0, map(3, 0, -PAGE, PAGE, client.memfd));
    assertEquals(Errno.EEXIST, map(3, 0, -1, 1, client.memfd));
    assertEquals(0, unmap(0, -PAGE, PAGE));
  }

  @Test
  void aFileThatEndsTooSoon() throws IOException {
    client.negotiate();
    Fd small = client.own(Memfd.create("small", 4096));
    assertEquals(Errno.EINVAL, map(3, 0, 0, 4097, small));
    assertEquals(Errno.EINVAL, map(3, 1, 0, 4096, small));
    assertEquals(Errno.EINVAL, map(3, 0, 0, Long.MAX_VALUE, small));
    assertEquals(0, map(3, 0, 0, 4096, small));
  }

  @Test
  void whatIsNoFile() throws IOException {
    client.negotiate();
    EventFd event = client.own(EventFd.create());
    assertEquals(Errno.ENODEV, map(3, 0, 0, 4096, event.fd()));
  }

  @Test
  void twoFilesAtOnce() throws IOException {
    client.negotiate();
    client.makeMemory();
    int fd = client.memfd.value();
    byte[] map = Client.map(3, 0, 0, PAGE);
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.DMA_MAP, map, fd, fd));
  }

  @Test
  void tooMany() throws IOException {
    client.negotiate();
    for (int i = 0; i < DmaTable.MAX_REGIONS; i++) {
      assertEquals(0, map(3, 0, i * PAGE, PAGE, null));
    }
    assertEquals(Errno.ENOSPC, map(3, 0, -PAGE, PAGE, null));
    assertEquals(0, unmap(2, 0, 0));
    assertEquals(0, map(3, 0, -PAGE, PAGE, null));
  }

  @Test
  void unmapByContainment() throws IOException {
    client.negotiate();
    client.makeMemory();
    for (int i = 0; i < 4; i++) {
      assertEquals(0, map(3, 0, i * PAGE, PAGE, i % 2 == 0 ? client.memfd : null));
    }
    assertEquals(Errno.EINVAL, unmap(0, PAGE / 2, 2 * PAGE));
    assertEquals(Errno.EINVAL, unmap(0, 0, 2 * PAGE - 1));
    assertEquals(Errno.EEXIST, map(3, 0, 0, PAGE, null));
    assertEquals(0, unmap(0, PAGE, 2 * PAGE));
    assertEquals(0, map(3, 0, PAGE, 2 * PAGE, client.memfd));
    assertEquals(0, unmap(0, 0x100000, PAGE));
    assertEquals(0, unmap(0, 0, -1));
    assertEquals(0, map(3, 0, 0, 4 * PAGE, client.memfd));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 4, -1})
  void flagsOfUnmapThatThereAreNot(int flags) throws IOException {
    client.negotiate();
    assertEquals(Errno.EINVAL, unmap(flags, 0, PAGE));
    assertEquals(Errno.EINVAL, unmap(0, 0, 0));
    assertEquals(Errno.EINVAL, unmap(0, -PAGE, 2 * PAGE));
    assertEquals(Errno.EINVAL, unmap(2, 0, PAGE));
  }

  @Test
  void aQueueOutsideOfMemoryBreaksAndAResetHealsIt() throws IOException {
    client.negotiate();
    client.makeMemory();
    Client.Ring ring = client.drive();
    Await.until("a fault", () -> served.server.stats().faults() > 0);
    assertEquals(0x4f, client.read(Client.BAR, 0x14, 1));
    client.call(VfioUserCommand.DEVICE_RESET, new byte[0]);
    assertEquals(0, client.read(Client.BAR, 0x14, 1));
    assertEquals(0, ring.driver.pending());
    client.mapMemory();
    client.drive().echo("healed");
  }
}
