// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.linux.Fd;
import io.jvirtio.linux.Memfd;
import io.jvirtio.linux.OpenFlag;
import io.jvirtio.linux.RawFile;
import io.jvirtio.testkit.RingFormat;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Memory tables and memory slots. */
@ParameterizedClass
@EnumSource
class MemoryTableTest {
  private static final long PAGE = 4096;

  @Parameter RingFormat format;
  @TempDir Path directory;
  private BackEnd backEnd;
  private List<String> before;
  private FrontEnd frontEnd;

  @BeforeEach
  void connect() throws IOException {
    backEnd = new BackEnd(directory);
    before = backEnd.warmUp();
    frontEnd = backEnd.connect(format);
    frontEnd.negotiate();
    frontEnd.makeMemory();
  }

  @AfterEach
  void nothingIsLeft() throws IOException {
    frontEnd.close();
    try {
      Await.descriptors(before);
      backEnd.serveOneMore();
    } finally {
      backEnd.close();
    }
  }

  private long add(Fd file, long guest, long size, long user, long offset) throws IOException {
    return frontEnd.acknowledged(
        VhostUserRequest.ADD_MEM_REG, FrontEnd.region(guest, size, user, offset), file.value());
  }

  private void addRefused(Fd file, long guest, long size, long user, long offset)
      throws IOException {
    frontEnd.send(
        VhostUserRequest.ADD_MEM_REG, FrontEnd.region(guest, size, user, offset), file.value());
    frontEnd.expectEnd();
  }

  @Test
  void slotsCanBeAddedUntilTheyAreFull() throws IOException {
    long slots = frontEnd.get(VhostUserRequest.GET_MAX_MEM_SLOTS);
    assertEquals(509, slots);
    for (int i = 0; i < slots; i++) {
      assertEquals(0, add(frontEnd.memfd, i * 2 * PAGE, PAGE, i * PAGE, i * PAGE));
    }
    // One goes, another fits, and no more.
    assertEquals(
        0,
        frontEnd.acknowledged(
            VhostUserRequest.REM_MEM_REG, FrontEnd.region(2 * PAGE, PAGE, PAGE, PAGE)));
    assertEquals(0, add(frontEnd.memfd, 2 * PAGE, PAGE, PAGE, 0));
    addRefused(frontEnd.memfd, 1 << 30, PAGE, 1 << 30, 0);
  }

  @Test
  void aQueueRunsInMemoryOfSlots() throws IOException {
    long half = FrontEnd.SIZE / 2;
    assertEquals(0, add(frontEnd.memfd, FrontEnd.GUEST, half, FrontEnd.USER, 0));
    assertEquals(0, add(frontEnd.memfd, FrontEnd.GUEST + half, half, FrontEnd.USER + half, half));
    FrontEnd.Ring ring = frontEnd.ring(0);
    frontEnd.start(ring, 0);
    frontEnd.driverOk();
    ring.echo("in a slot");
    // The other half goes while the queue runs; a descriptor that comes along is closed.
    assertEquals(
        0,
        frontEnd.acknowledged(
            VhostUserRequest.REM_MEM_REG,
            FrontEnd.region(FrontEnd.GUEST + half, half, FrontEnd.USER + half, 0),
            frontEnd.memfd.value()));
    ring.echo("still in a slot");
    assertEquals(ring.base(2), frontEnd.stop(ring));
  }

  @Test
  void aTableReplacesEverySlot() throws IOException {
    assertEquals(0, add(frontEnd.memfd, 0, PAGE, 0, 0));
    frontEnd.sendTable(frontEnd.memfd);
    assertEquals(0, add(frontEnd.memfd, 0, PAGE, 0, 0));
    FrontEnd.Ring ring = frontEnd.ring(0);
    frontEnd.start(ring, 0);
    frontEnd.driverOk();
    ring.echo("after");
  }

  @Test
  void anEmptyTableIsNoMemory() throws IOException {
    frontEnd.sendTable(frontEnd.memfd);
    assertEquals(0, frontEnd.acknowledged(VhostUserRequest.SET_MEM_TABLE, FrontEnd.table()));
    frontEnd.start(frontEnd.ring(0), 0);
    frontEnd.expectEnd();
  }

  @Test
  void guestAddressesThatOverlapEndTheConnection() throws IOException {
    assertEquals(0, add(frontEnd.memfd, 0, 2 * PAGE, 0, 0));
    addRefused(frontEnd.memfd, PAGE, PAGE, 1 << 30, 0);
  }

  @Test
  void userAddressesThatOverlapEndTheConnection() throws IOException {
    assertEquals(0, add(frontEnd.memfd, 0, 2 * PAGE, PAGE, 0));
    addRefused(frontEnd.memfd, 1 << 30, 2 * PAGE, 0, 0);
  }

  @Test
  void aTableWhoseRegionsOverlapEndsTheConnection() throws IOException {
    int fd = frontEnd.memfd.value();
    frontEnd.send(
        VhostUserRequest.SET_MEM_TABLE,
        FrontEnd.table(
            new long[] {0, PAGE, 0, 0},
            new long[] {2 * PAGE, PAGE, PAGE, 0},
            new long[] {PAGE, 2 * PAGE, 1 << 20, 0}),
        fd,
        fd,
        fd);
    frontEnd.expectEnd();
  }

  @Test
  void aRegionPastTheEndOfItsFileEndsTheConnection() throws IOException {
    addRefused(frontEnd.memfd, 0, FrontEnd.SIZE + 1, 0, 0);
  }

  @Test
  void anOffsetPastTheEndOfItsFileEndsTheConnection() throws IOException {
    addRefused(frontEnd.memfd, 0, PAGE, 0, FrontEnd.SIZE);
  }

  @Test
  void anEmptyFileEndsTheConnection() throws IOException {
    addRefused(frontEnd.own(Memfd.create("empty", 0)), 0, PAGE, 0, 0);
  }

  @Test
  void memoryThatIsNoFileEndsTheConnection() throws IOException {
    addRefused(frontEnd.socket.fd(), 0, PAGE, 0, 0);
  }

  @Test
  void memoryThatCannotBeWrittenEndsTheConnection() throws IOException {
    Path file = Files.write(directory.resolve("file"), new byte[(int) PAGE]);
    addRefused(frontEnd.own(RawFile.open(file, OpenFlag.READ_ONLY)).fd(), 0, PAGE, 0, 0);
  }

  @Test
  void removingWhatIsNotThereEndsTheConnection() throws IOException {
    assertEquals(0, add(frontEnd.memfd, 0, PAGE, 0, 0));
    frontEnd.send(VhostUserRequest.REM_MEM_REG, FrontEnd.region(0, PAGE, PAGE, 0));
    frontEnd.expectEnd();
  }

  @Test
  void aRegionWithoutItsDescriptorEndsTheConnection() throws IOException {
    frontEnd.send(VhostUserRequest.ADD_MEM_REG, FrontEnd.region(0, PAGE, 0, 0));
    frontEnd.expectEnd();
  }

  @Test
  void aRingOutsideMemoryEndsTheConnection() throws IOException {
    frontEnd.sendTable(frontEnd.memfd);
    byte[] address = new byte[40];
    frontEnd.send(VhostUserRequest.SET_VRING_NUM, FrontEnd.state(0, 16));
    frontEnd.send(VhostUserRequest.SET_VRING_ADDR, address);
    frontEnd.fd(VhostUserRequest.SET_VRING_KICK, 0, null);
    frontEnd.send(VhostUserRequest.SET_VRING_ENABLE, FrontEnd.state(0, 1));
    frontEnd.expectEnd();
  }

  @Test
  void aFileThatIsCutShortUnderTheMappingBreaksTheRingOnly() throws IOException {
    frontEnd.sendTable(frontEnd.memfd);
    FrontEnd.Ring ring = frontEnd.ring(0);
    frontEnd.start(ring, 0);
    frontEnd.driverOk();
    ring.echo("whole");
    Memfd.resize(frontEnd.memfd, 0);
    ring.kick.signal();
    Await.until("NEEDS_RESET", () -> frontEnd.get(VhostUserRequest.GET_STATUS) == (0xf | 0x40));
  }

  @Test
  void aRingInAFileThatWasCutShortBreaksWhenItStarts() throws IOException {
    frontEnd.sendTable(frontEnd.memfd);
    FrontEnd.Ring ring = frontEnd.ring(0);
    frontEnd.sync(); // or it may be cut before it is mapped
    Memfd.resize(frontEnd.memfd, 0);
    frontEnd.start(ring, 0);
    frontEnd.set(VhostUserRequest.SET_STATUS, 0xf);
    Await.until("NEEDS_RESET", () -> frontEnd.get(VhostUserRequest.GET_STATUS) == (0xf | 0x40));
  }
}
