// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.DeviceHost;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.ChainBuilder;
import io.jvirtio.transport.pci.PciOptions;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A client that maps memory without a file: the server reads and writes it by commands, for split
 * rings and for packed ones.
 */
@ParameterizedClass
@ValueSource(booleans = {false, true})
class MirrorTest extends WithClient {
  @Parameter boolean packed;

  private void mapWithoutFile() throws IOException {
    client.negotiate();
    client.makeMemory();
    client.call(VfioUserCommand.DMA_MAP, Client.map(3, 0, Client.GUEST, Client.SIZE));
  }

  private Client.Ring drive(int... more) throws IOException {
    return client.drive(
        FeatureBits.of(more)
            .with(ReservedFeatures.VIRTIO_F_VERSION_1)
            .withIf(packed, ReservedFeatures.VIRTIO_F_RING_PACKED));
  }

  private Client.Ring start() throws IOException {
    mapWithoutFile();
    return drive();
  }

  private void echo(Client.Ring ring, String text) throws IOException {
    ring.submit(text);
    Await.until(
        text + " is used",
        () -> {
          client.pump();
          return ring.driver.pending() > 0;
        });
    ring.expect(text);
  }

  private void pumpUntil(EventFd event) {
    Await.until(
        "an interrupt",
        () -> {
          client.pump();
          return event.drain() > 0;
        });
  }

  @Test
  void aQueueRunsInMemoryThatIsNotShared() throws IOException {
    Client.Ring ring = start();
    for (int i = 0; i < 50; i++) {
      echo(ring, "echo " + i);
    }
    assertTrue(client.served > 50 * 4);
    assertEquals(0, served.server.stats().faults());
  }

  @Test
  void whatIsUsedIsThereBeforeTheInterrupt() throws IOException {
    Client.Ring ring = start();
    EventFd event = client.event(VfioUserCodec.IRQ_MSIX, 1);
    client.enableMsix();
    for (int i = 0; i < 20; i++) {
      ring.submit("message " + i);
      pumpUntil(event);
      assertTrue(ring.driver.pending() > 0);
      ring.expect("message " + i);
    }
  }

  @Test
  void thePinAsWell() throws IOException {
    Client.Ring ring = start();
    EventFd pin = client.event(VfioUserCodec.IRQ_INTX, 0);
    for (int i = 0; i < 20; i++) {
      ring.submit("pin " + i);
      pumpUntil(pin);
      assertEquals(1, client.read(Client.BAR, 0x1000, 1));
      ring.expect("pin " + i);
      client.call(
          VfioUserCommand.DEVICE_SET_IRQS,
          Client.irqs(Client.DATA_NONE | Client.UNMASK, VfioUserCodec.IRQ_INTX, 0, 1));
    }
  }

  /** The interrupt is shared with other devices: a driver looks at the status at any time. */
  @Test
  void theInterruptStatusDoesNotTellOfWhatIsNotThere() throws IOException {
    Client.Ring ring = start();
    EventFd pin = client.event(VfioUserCodec.IRQ_INTX, 0);
    for (int i = 0; i < 20; i++) {
      ring.submit("shared " + i);
      Client.Reply command = command();
      while (!tellsOfUsed(ring, command)) {
        assertEquals(0, ring.driver.pending());
        client.serve(command);
        command = command();
      }
      // It is asked for while what was used is on its way.
      expectNoStatus(new ArrayList<>(List.of(command)));
      pumpUntil(pin);
      assertEquals(1, client.read(Client.BAR, 0x1000, 1));
      ring.expect("shared " + i);
      client.call(
          VfioUserCommand.DEVICE_SET_IRQS,
          Client.irqs(Client.DATA_NONE | Client.UNMASK, VfioUserCodec.IRQ_INTX, 0, 1));
    }
  }

  /** The control thread is held up until the worker goes on without having written what it used. */
  @Test
  void norOfWhatIsLate() throws IOException {
    Client.Ring ring = start();
    EventFd pin = client.event(VfioUserCodec.IRQ_INTX, 0);
    served.device.hold();
    ring.submit("late");
    Await.until(
        "it is taken",
        () -> {
          client.pump();
          return served.device.held() == 1;
        });
    ConfigSpace config = served.device.config();
    int id;
    synchronized (config) {
      id = client.send(VfioUserCommand.REGION_READ, Client.access(Client.BAR, 0x2000, 1));
      Await.until(
          "the control thread waits",
          () ->
              Arrays.stream(served.control.getStackTrace())
                  .anyMatch(frame -> frame.getClassName().equals(ConfigSpace.class.getName())));
      served.device.release();
      Await.until("it is used", () -> served.device.held() == 0);
    }
    List<Client.Reply> waiting = new ArrayList<>();
    replyTo(id, waiting);
    expectNoStatus(waiting);
    pumpUntil(pin);
    assertEquals(1, client.read(Client.BAR, 0x1000, 1));
    ring.expect("late");
    assertEquals(0, client.read(Client.BAR, 0x1000, 1));
  }

  /** Reads the interrupt status, and only then serves what the server has asked for. */
  private void expectNoStatus(List<Client.Reply> waiting) throws IOException {
    int id = client.send(VfioUserCommand.REGION_READ, Client.access(Client.BAR, 0x1000, 1));
    assertEquals(0, replyTo(id, waiting).payload().get(16));
    for (Client.Reply asked : waiting) {
      client.serve(asked);
    }
  }

  /** A worker that has waited for long asks again meanwhile. */
  private Client.Reply replyTo(int id, List<Client.Reply> waiting) throws IOException {
    Client.Reply reply = client.receiveOne();
    while (reply.flags() == 0) {
      waiting.add(reply);
      reply = client.receiveOne();
    }
    assertEquals(id, reply.id());
    return reply;
  }

  /** Whether a command writes the index of the used ring, or the flags of a used descriptor. */
  private boolean tellsOfUsed(Client.Ring ring, Client.Reply command) {
    long address = command.payload().getLong(0);
    long area = packed ? ring.layout.descriptorArea() : ring.layout.deviceArea();
    long offset = address - area;
    return command.command() == VfioUserCommand.DMA_WRITE.id()
        && command.payload().getLong(8) == 2
        && (packed ? offset >= 0 && offset < 256 && offset % 16 == 14 : offset == 2);
  }

  @Test
  void largeBuffersGoInPieces() throws IOException {
    Client.Ring ring = start();
    echo(ring, "0123456789abcdef".repeat(5000));
    assertEquals(0, served.server.stats().faults());
  }

  @Test
  void listsTablesAndManyAtOnce() throws IOException {
    mapWithoutFile();
    Client.Ring ring =
        drive(ReservedFeatures.VIRTIO_F_EVENT_IDX, ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    for (int lap = 0; lap < 20; lap++) {
      served.device.hold();
      int held = served.device.held();
      for (int i = 0; i < 4; i++) {
        byte[] text = ("lap " + lap + " buffer " + i).getBytes();
        ChainBuilder chain = ring.driver.chain();
        chain = i % 2 == 0 ? chain : chain.indirect();
        chain.readable(text).writable(text.length).splitReadable(1, 4).splitWritable(3).add();
      }
      ring.driver.publish();
      client.post(Client.BAR, Client.NOTIFY, 2, 0);
      Await.until(
          "all are taken",
          () -> {
            client.pump();
            return served.device.held() == held + 4;
          });
      served.device.release();
      for (int i = 0; i < 4; i++) {
        Await.until(
            "one more is used",
            () -> {
              client.pump();
              return ring.driver.pending() > 0;
            });
        ring.expect("lap " + lap + " buffer " + i);
      }
    }
    assertEquals(0, served.server.stats().faults());
  }

  @Test
  void aTableThatIsNoneBreaksItsQueue() throws IOException {
    mapWithoutFile();
    Client.Ring ring = drive(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    echo(ring, "well-behaved");
    ring.driver.chain().readable((byte) 1).indirect().submit();
    client.post(Client.BAR, Client.NOTIFY, 2, 0);
    Await.until("a fault", () -> client.read(Client.BAR, 0x14, 1) == 0x4f);
    client.call(VfioUserCommand.DEVICE_RESET, new byte[0]);
    echo(drive(), "healed");
  }

  @Test
  void aRingOfItsOwnBuffersBreaksNothingElse() throws IOException {
    Client.Ring ring = start();
    echo(ring, "well-behaved");
    long area = packed ? ring.layout.descriptorArea() : ring.layout.deviceArea();
    for (int i = 0; i < 4; i++) {
      // What the device works with is overwritten by what is readable, and this by an echo of it.
      ring.driver.chain().readableAt(area, 128).writableAt(area, 128).submit();
      client.post(Client.BAR, Client.NOTIFY, 2, 0);
      client.sync();
    }
    client.call(VfioUserCommand.DEVICE_RESET, new byte[0]);
    echo(drive(), "healed");
  }

  @Test
  void inOrderUseIsNotOffered() throws IOException {
    FeatureBits all = DeviceHost.ringFeatures().with(ReservedFeatures.VIRTIO_F_IN_ORDER);
    Path folder = Files.createDirectory(directory.resolve("in-order"));
    try (Served other =
            new Served(folder, PciOptions.defaults().withRingFeatures(all), Served.options());
        Client second = other.connect()) {
      second.negotiate();
      second.write(Client.BAR, 0, 4, 1);
      assertEquals(8 | 4 | 1, second.read(Client.BAR, 4, 4) & 0xf);
      second.call(VfioUserCommand.DMA_MAP, Client.map(3, 0, Client.GUEST, Client.SIZE));
      assertEquals(4 | 1, second.read(Client.BAR, 4, 4) & 0xf);
      second.write(Client.BAR, 0, 4, 0);
      assertEquals(0x30000060, second.read(Client.BAR, 4, 4));
      // A driver that accepts it all the same gets no further.
      second.write(Client.BAR, 0x14, 1, 3);
      second.write(Client.BAR, 8, 4, 1);
      second.write(Client.BAR, 12, 4, packed ? 13 : 9);
      second.write(Client.BAR, 0x14, 1, 0xb);
      assertEquals(3, second.read(Client.BAR, 0x14, 1));
    }
  }

  /** The next command of the server. */
  private Client.Reply command() throws IOException {
    Client.Reply command = client.receiveOne();
    assertEquals(0, command.flags());
    return command;
  }

  /** Whatever the server asks before. */
  private void expectEnd() {
    Await.until(
        "the connection ends",
        () -> {
          try {
            client.receiveOne();
            return false;
          } catch (EOFException | LinuxException end) {
            return true;
          }
        });
  }

  @Test
  void aCommandIsAnsweredWhileAWorkerWaits() throws IOException {
    Client.Ring ring = start();
    Await.until(
        "the server reads the ring",
        () -> {
          client.pump();
          return client.served > 0;
        });
    ring.submit("not read yet");
    Client.Reply read = command();
    // The worker waits for this one; a reset needs the worker.
    int id =
        client.send(VfioUserCommand.REGION_WRITE, Client.access(Client.BAR, 0x14, 1, (byte) 0));
    Client.Reply reply = client.receiveOne();
    while (reply.flags() == 0) {
      reply = client.receiveOne(); // it tries again; nobody answers
    }
    assertEquals(id, reply.id());
    client.serve(read); // late, and no harm
    client.sync();
    Await.until("it is reset", () -> client.read(Client.BAR, 0x14, 1) == 0);
    assertEquals(0, ring.driver.pending());
  }

  @Test
  void aClientThatRefusesBreaksItsQueue() throws IOException {
    Client.Ring ring = start();
    echo(ring, "well-behaved");
    ring.submit("refused");
    client.answer(command(), 0x21, new byte[0]);
    Await.until("a fault", () -> client.read(Client.BAR, 0x14, 1) == 0x4f);
    client.call(VfioUserCommand.DEVICE_RESET, new byte[0]);
    echo(drive(), "healed");
  }

  @Test
  void anAnswerOfAnotherLengthEndsTheConnection() throws IOException {
    Client.Ring ring = start();
    echo(ring, "well-behaved");
    ring.submit("short");
    client.answer(command(), 1, new byte[17]);
    expectEnd();
  }

  @Test
  void twoAnswersEndTheConnection() throws IOException {
    Client.Ring ring = start();
    echo(ring, "well-behaved");
    client.sync();
    client.raw(Client.header(1, VfioUserCommand.DMA_READ.id(), 16, 0x21));
    expectEnd();
  }

  @Test
  void theClientLeavesWhileAWorkerWaits() throws IOException {
    Client.Ring ring = start();
    echo(ring, "well-behaved");
    ring.submit("nobody answers");
    command();
  }

  @Test
  void sharedMemoryTakesOver() throws IOException {
    Client.Ring ring = start();
    echo(ring, "by commands");
    client.call(VfioUserCommand.DMA_UNMAP, Client.unmap(0, Client.GUEST, Client.SIZE));
    client.mapMemory();
    int before = client.served;
    ring.echo("by mapping");
    assertEquals(before, client.served);
    // A region without a file beside it is out of reach now.
    client.call(VfioUserCommand.DMA_MAP, Client.map(3, 0, 0, 0x1000));
    ring.echo("still");
  }

  @Test
  void memoryLargerThanAnyMachineIsOutOfReach() throws IOException {
    client.negotiate();
    client.call(VfioUserCommand.DMA_MAP, Client.map(3, 0, 0, 1L << 62));
    client.call(VfioUserCommand.DMA_UNMAP, Client.unmap(0, 0, 1L << 62));
    client.makeMemory();
    client.mapMemory();
    drive().echo("shared");
  }
}
