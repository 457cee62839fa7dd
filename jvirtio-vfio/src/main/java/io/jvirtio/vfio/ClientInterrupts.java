// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Errno;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.transport.pci.PciInterrupts;
import java.util.List;
import java.util.concurrent.atomic.LongAdder;

/**
 * The interrupts of a function and the eventfds that the client has given for them
 * ("VFIO_USER_DEVICE_SET_IRQS").
 *
 * <p>INTx masks itself with each trigger, and triggers again when it is unmasked while the level is
 * still high. A vector of MSI-X that fires while it has no eventfd fires once it gets one.
 *
 * <p>{@link #intx} and {@link #msix} on any thread, the rest on the control thread.
 */
final class ClientInterrupts implements PciInterrupts {
  private static final int FLAG_EVENTFD = 1;
  private static final int FLAG_MASKABLE = 2;
  private static final int FLAG_AUTOMASKED = 4;

  private final LongAdder sent = new LongAdder();
  private final IrqLine pin = new IrqLine(sent);
  private final IrqLine error = new IrqLine(sent);
  private final IrqLine request = new IrqLine(sent);
  private final EventWatch maskEvents = new EventWatch(() -> setMasked(true));
  private final EventWatch unmaskEvents = new EventWatch(() -> setMasked(false));
  private IrqLine[] vectors = {};
  private boolean hasPin = true;

  // Under the lock of this object.
  private boolean level;
  private boolean masked;

  /** Says what the function has, before anything else. */
  void describe(boolean withPin, int msixVectors) {
    hasPin = withPin;
    IrqLine[] made = new IrqLine[msixVectors];
    for (int i = 0; i < msixVectors; i++) {
      made[i] = new IrqLine(sent);
    }
    vectors = made;
  }

  /** How many interrupts of a type there are. */
  int count(int type) {
    return switch (type) {
      case VfioUserCodec.IRQ_INTX -> hasPin ? 1 : 0;
      case VfioUserCodec.IRQ_MSIX -> vectors.length;
      case VfioUserCodec.IRQ_ERROR, VfioUserCodec.IRQ_REQUEST -> 1;
      default -> 0;
    };
  }

  /** What can be done with a type. */
  int flags(int type) {
    return switch (type) {
      case VfioUserCodec.IRQ_INTX -> FLAG_EVENTFD | FLAG_MASKABLE | FLAG_AUTOMASKED;
      case VfioUserCodec.IRQ_MSI -> 0;
      default -> FLAG_EVENTFD;
    };
  }

  /** How many times an eventfd was signalled. Any thread. */
  long sent() {
    return sent.sum();
  }

  @Override
  public void intx(boolean asserted) {
    synchronized (this) {
      level = asserted;
    }
    triggerPin();
  }

  private void triggerPin() {
    synchronized (this) {
      if (!level || masked || !pin.isArmed()) {
        return;
      }
      masked = true;
    }
    pin.signal();
  }

  private void setMasked(boolean now) {
    synchronized (this) {
      masked = now;
    }
    triggerPin();
  }

  @Override
  public void msix(int vector, long address, int data) {
    IrqLine[] now = vectors;
    if (vector < 0 || vector >= now.length) {
      return;
    }
    now[vector].fire();
  }

  /**
   * Does what SET_IRQS says.
   *
   * @param fds the descriptors; those that are kept are taken out
   * @throws CommandRefused when there are no such interrupts, they cannot be masked, or a
   *     descriptor is no eventfd; nothing has changed then
   */
  void set(ClientMessage.SetIrqs set, List<Fd> fds) throws CommandRefused {
    if (set.start() + set.count() > count(set.index())) {
      throw new CommandRefused(
          Errno.EINVAL,
          String.format(
              "type %d has no interrupts from %d, %d of them",
              set.index(), set.start(), set.count()));
    }
    if (set.action() != ClientMessage.IrqAction.TRIGGER
        && (flags(set.index()) & FLAG_MASKABLE) == 0) {
      throw new CommandRefused(Errno.EINVAL, "type " + set.index() + " cannot be masked");
    }
    if (set.data() == ClientMessage.IrqData.EVENTFD) {
      for (Fd fd : fds) {
        IrqLine.checkEventFd(fd);
      }
    }
    switch (set.action()) {
      case MASK -> setMask(set, fds, true);
      case UNMASK -> setMask(set, fds, false);
      case TRIGGER -> trigger(set, fds);
    }
  }

  private void setMask(ClientMessage.SetIrqs set, List<Fd> fds, boolean mask)
      throws CommandRefused {
    switch (set.data()) {
      case NONE -> setMasked(mask);
      case BOOL -> {
        if (set.chosen()[0]) {
          setMasked(mask);
        }
      }
      case EVENTFD -> {
        EventWatch events = mask ? maskEvents : unmaskEvents;
        events.watch(set.fds() == 0 ? null : event(fds.removeFirst()));
      }
    }
  }

  private void trigger(ClientMessage.SetIrqs set, List<Fd> fds) throws CommandRefused {
    if (set.count() == 0) {
      disarm(set.index());
      return;
    }
    for (int i = 0; i < set.count(); i++) {
      IrqLine line = line(set.index(), set.start() + i);
      switch (set.data()) {
        case NONE -> line.signalFromControl();
        case BOOL -> {
          if (set.chosen()[i]) {
            line.signalFromControl();
          }
        }
        case EVENTFD -> {
          line.arm(set.fds() == 0 ? null : event(fds.removeFirst()));
          if (line == pin) {
            setMasked(false);
          }
        }
      }
    }
  }

  private static EventFd event(Fd fd) throws CommandRefused {
    try {
      return EventFd.of(fd);
    } catch (LinuxException e) {
      throw new CommandRefused(e.errno(), e.getMessage());
    }
  }

  private IrqLine line(int type, int number) {
    return switch (type) {
      case VfioUserCodec.IRQ_INTX -> pin;
      case VfioUserCodec.IRQ_MSIX -> vectors[number];
      case VfioUserCodec.IRQ_ERROR -> error;
      case VfioUserCodec.IRQ_REQUEST -> request;
      default -> throw new IllegalStateException("type " + type + " has no interrupts");
    };
  }

  private void disarm(int type) {
    for (int i = 0; i < count(type); i++) {
      line(type, i).arm(null);
    }
    if (type == VfioUserCodec.IRQ_INTX) {
      maskEvents.watch(null);
      unmaskEvents.watch(null);
      setMasked(false);
    }
  }

  /** The device was reset: nothing is pending. */
  void forgetPending() {
    for (IrqLine vector : vectors) {
      vector.forget();
    }
  }

  /** The client has gone: nobody is interrupted any more, every descriptor is closed. */
  void release() {
    for (int type = 0; type < VfioUserCodec.IRQ_TYPES; type++) {
      disarm(type);
    }
    forgetPending();
  }
}
