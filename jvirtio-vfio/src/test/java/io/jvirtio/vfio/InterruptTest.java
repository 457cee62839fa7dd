// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.Errno;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.OpenFlag;
import io.jvirtio.linux.RawFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** SET_IRQS in all forms. */
class InterruptTest extends WithClient {
  private static final int INTX = VfioUserCodec.IRQ_INTX;
  private static final int MSIX = VfioUserCodec.IRQ_MSIX;

  private void set(int flags, int type, int start, int count, byte... chosen) throws IOException {
    client.call(VfioUserCommand.DEVICE_SET_IRQS, Client.irqs(flags, type, start, count, chosen));
  }

  private static void awaitSignal(EventFd event) {
    Await.until("a signal", () -> event.drain() > 0);
  }

  /** Nothing comes any more once the control thread and the worker have been at work. */
  private void expectSilence(EventFd event) throws IOException {
    client.sync();
    assertEquals(0, event.drain());
  }

  @Test
  void eachVectorHasItsEvent() throws IOException {
    Client.Ring ring = client.start();
    EventFd config = client.event(MSIX, 0);
    EventFd queue = client.event(MSIX, 1);
    client.enableMsix();
    for (int i = 0; i < 10; i++) {
      ring.echo("x");
      awaitSignal(queue);
    }
    assertEquals(0, config.drain());
    assertTrue(served.server.stats().interrupts() >= 10);
  }

  @Test
  void severalEventsAtOnceAndNoneAgain() throws IOException {
    Client.Ring ring = client.start();
    client.enableMsix();
    EventFd[] events = new EventFd[4];
    int[] fds = new int[4];
    for (int i = 0; i < 4; i++) {
      events[i] = client.own(EventFd.create());
      fds[i] = events[i].fd().value();
    }
    int arm = Client.DATA_EVENTFD | Client.TRIGGER;
    client.call(VfioUserCommand.DEVICE_SET_IRQS, Client.irqs(arm, MSIX, 0, 4), fds);
    ring.echo("armed");
    awaitSignal(events[1]);
    // Without descriptors: disarmed.
    set(arm, MSIX, 1, 2);
    ring.echo("disarmed");
    expectSilence(events[1]);
    // What fired meanwhile is told to the next.
    EventFd next = client.event(MSIX, 1);
    awaitSignal(next);
    set(Client.DATA_NONE | Client.TRIGGER, MSIX, 0, 0);
    ring.echo("all off");
    expectSilence(next);
    client.call(VfioUserCommand.DEVICE_RESET, new byte[0]);
    EventFd last = client.event(MSIX, 1);
    expectSilence(last);
  }

  @Test
  void theClientTriggersItself() throws IOException {
    client.negotiate();
    EventFd[] events = new EventFd[4];
    for (int i = 0; i < 4; i++) {
      events[i] = client.event(MSIX, i);
    }
    set(Client.DATA_NONE | Client.TRIGGER, MSIX, 1, 2);
    set(Client.DATA_BOOL | Client.TRIGGER, MSIX, 1, 3, (byte) 0, (byte) 1, (byte) 1);
    assertEquals(0, events[0].drain());
    assertEquals(1, events[1].drain());
    assertEquals(1, events[2].drain());
    assertEquals(1, events[3].drain());
  }

  @Test
  void errorAndRequestCanBeArmed() throws IOException {
    client.negotiate();
    for (int type : new int[] {VfioUserCodec.IRQ_ERROR, VfioUserCodec.IRQ_REQUEST}) {
      EventFd event = client.event(type, 0);
      set(Client.DATA_NONE | Client.TRIGGER, type, 0, 1);
      assertEquals(1, event.drain());
      set(Client.DATA_EVENTFD | Client.TRIGGER, type, 0, 1);
      set(Client.DATA_NONE | Client.TRIGGER, type, 0, 1);
      expectSilence(event);
      set(Client.DATA_NONE | Client.TRIGGER, type, 0, 0);
    }
  }

  private EventFd pinOf(Client.Ring ring) throws IOException {
    EventFd pin = client.event(INTX, 0);
    ring.echo("raises");
    awaitSignal(pin);
    return pin;
  }

  private int interruptStatus() throws IOException {
    return (int) client.read(Client.BAR, 0x1000, 1);
  }

  @Test
  void thePinMasksItself() throws IOException {
    Client.Ring ring = client.start();
    EventFd pin = pinOf(ring);
    ring.echo("again");
    expectSilence(pin);
    // Still high when it is unmasked: again.
    set(Client.DATA_NONE | Client.UNMASK, INTX, 0, 1);
    awaitSignal(pin);
    assertEquals(1, interruptStatus());
    // Low when it is unmasked: only with the next buffer.
    set(Client.DATA_NONE | Client.UNMASK, INTX, 0, 1);
    expectSilence(pin);
    ring.echo("next");
    awaitSignal(pin);
  }

  @Test
  void aMaskedPinWaits() throws IOException {
    Client.Ring ring = client.start();
    EventFd pin = client.event(INTX, 0);
    set(Client.DATA_BOOL | Client.MASK, INTX, 0, 1, (byte) 1);
    set(Client.DATA_BOOL | Client.UNMASK, INTX, 0, 1, (byte) 0);
    ring.echo("masked");
    expectSilence(pin);
    set(Client.DATA_BOOL | Client.MASK, INTX, 0, 1, (byte) 0);
    set(Client.DATA_BOOL | Client.UNMASK, INTX, 0, 1, (byte) 1);
    awaitSignal(pin);
  }

  @Test
  void eventsMaskAndUnmask() throws IOException {
    Client.Ring ring = client.start();
    int[] fds = new int[1];
    EventFd unmask = client.own(EventFd.create());
    EventFd mask = client.own(EventFd.create());
    EventFd pin = client.event(INTX, 0);
    fds[0] = unmask.fd().value();
    int unmasking = Client.DATA_EVENTFD | Client.UNMASK;
    client.call(VfioUserCommand.DEVICE_SET_IRQS, Client.irqs(unmasking, INTX, 0, 1), fds);
    fds[0] = mask.fd().value();
    int masking = Client.DATA_EVENTFD | Client.MASK;
    client.call(VfioUserCommand.DEVICE_SET_IRQS, Client.irqs(masking, INTX, 0, 1), fds);
    ring.echo("raises");
    awaitSignal(pin);
    unmask.signal();
    awaitSignal(pin);
    assertEquals(1, interruptStatus());
    unmask.signal();
    Await.until("it is read", () -> unmask.drain() == 0);
    mask.signal();
    Await.until("it is read as well", () -> mask.drain() == 0);
    set(unmasking, INTX, 0, 1);
    set(masking, INTX, 0, 1);
    unmask.signal();
    client.sync();
    assertEquals(1, unmask.drain()); // nobody reads it any more
  }

  @Test
  void anotherEventIsTriggeredWhileTheLevelIsHigh() throws IOException {
    Client.Ring ring = client.start();
    pinOf(ring);
    EventFd other = client.event(INTX, 0);
    awaitSignal(other);
    set(Client.DATA_NONE | Client.TRIGGER, INTX, 0, 0);
    client.call(VfioUserCommand.DEVICE_RESET, new byte[0]);
    EventFd third = client.event(INTX, 0);
    expectSilence(third);
    client.drive().echo("after the reset");
    awaitSignal(third);
  }

  @ParameterizedTest
  @CsvSource({
    "33, 5, 0, 1", // no such type
    "33, -1, 0, 1",
    "33, 0, 1, 1", // one pin only
    "33, 0, 0, 2",
    "33, 1, 0, 1", // no MSI
    "33, 2, 4, 1",
    "33, 2, 3, 2",
    "33, 2, 2147483647, 2",
    "33, 2, 2147483647, 2147483647",
    "33, 2, -1, 1",
    "33, 2, 0, -1",
    "33, 2, 1, 0",
    "9, 0, 0, 0",
    "9, 2, 0, 1", // MSI-X is not masked
    "17, 2, 0, 1",
    "17, 3, 0, 1",
    "0, 2, 0, 1",
    "1, 2, 0, 1",
    "32, 2, 0, 1",
    "35, 2, 0, 1",
    "57, 2, 0, 1",
    "97, 2, 0, 1",
    "34, 2, 0, 1", // without its byte
    "36, 2, 0, 0"
  })
  void whatThereIsNotIsRefused(int flags, int type, int start, int count) throws IOException {
    client.negotiate();
    byte[] set = Client.irqs(flags, type, start, count);
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.DEVICE_SET_IRQS, set));
  }

  @Test
  void descriptorsThatDoNotFit() throws IOException {
    client.negotiate();
    EventFd event = client.own(EventFd.create());
    int[] two = {event.fd().value(), event.fd().value()};
    int arm = Client.DATA_EVENTFD | Client.TRIGGER;
    for (byte[] set :
        new byte[][] {
          Client.irqs(arm, MSIX, 0, 1),
          Client.irqs(arm, MSIX, 0, 3),
          Client.irqs(arm, MSIX, 3, 2),
          Client.irqs(Client.DATA_NONE | Client.TRIGGER, MSIX, 0, 2),
          Client.irqs(arm, MSIX, 0, 2, (byte) 1),
          new byte[19]
        }) {
      assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.DEVICE_SET_IRQS, set, two));
    }
    int[] many = new int[17];
    Arrays.fill(many, event.fd().value());
    byte[] set = Client.irqs(arm, MSIX, 0, 17);
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.DEVICE_SET_IRQS, set, many));
  }

  @Test
  void whatIsNoEventIsRefused() throws IOException {
    client.negotiate();
    Path path = Files.write(directory.resolve("file"), new byte[64]);
    int[] file = {client.own(RawFile.open(path, OpenFlag.READ_WRITE)).fd().value()};
    int arm = Client.DATA_EVENTFD | Client.TRIGGER;
    byte[] set = Client.irqs(arm, MSIX, 0, 1);
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.DEVICE_SET_IRQS, set, file));
    int[] socket = {client.socket.fd().value()};
    assertEquals(Errno.EINVAL, client.refused(VfioUserCommand.DEVICE_SET_IRQS, set, socket));
  }
}
