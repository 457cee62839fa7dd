// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.queue.QueueLayout;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;

/**
 * What the front-end has said about one vring ("Ring states"), and its descriptors.
 *
 * <p>The control thread owns it; the queue's owner only signals the call descriptor, which is
 * therefore closed on the owner.
 */
final class Vring {
  private static final Logger LOG = System.getLogger(Vring.class.getName());

  private final int index;
  private final QueueOwner owner;
  private int num;

  /** Where it starts; -1 for the start of a ring that was never told, which either format has. */
  private int base = -1;

  /** Of which format {@link #base} is: a front-end may ask for it after a reset of the device. */
  private boolean packedBase;

  private FrontEndMessage.VringAddress address;
  private boolean enabled;
  private boolean hasKick;
  private EventFd kick;
  private volatile EventFd call;
  private volatile EventFd error;
  private boolean started;
  private long kicks;

  Vring(int index, QueueOwner owner) {
    this.index = index;
    this.owner = owner;
  }

  QueueOwner owner() {
    return owner;
  }

  boolean isStarted() {
    return started;
  }

  void started(boolean now) {
    started = now;
  }

  long kicks() {
    return kicks;
  }

  void setNum(int newNum) throws ProtocolFault {
    requireStopped("SET_VRING_NUM");
    num = newNum;
  }

  /**
   * Where the ring starts. Of a split ring the available index; of a packed one the position and
   * wrap counter of the next available descriptor in bits 0 to 15, and of the next used one in bits
   * 16 to 31, which not every front-end sets.
   */
  void setBase(int newBase, boolean packed) throws ProtocolFault {
    requireStopped("SET_VRING_BASE");
    int used = newBase >>> 16;
    // A back-end that starts with buffers in flight would never give them back.
    if (used != 0 && !(packed && used == (newBase & 0xffff))) {
      throw new ProtocolFault("SET_VRING_BASE of 0x" + Integer.toHexString(newBase));
    }
    base = newBase & 0xffff;
    packedBase = packed;
  }

  void stoppedAt(int nextIndex, boolean packed) {
    base = nextIndex;
    packedBase = packed;
  }

  /**
   * Where the ring goes on, as {@link #setBase} takes it. All buffers of a stopped ring were used,
   * so both indexes of a packed one are the same.
   */
  int base() {
    if (base < 0) {
      return 0;
    }
    return packedBase ? base << 16 | base : base;
  }

  /** A running ring may be told its addresses again, as for logging, but not other ones. */
  void setAddress(FrontEndMessage.VringAddress newAddress) throws ProtocolFault {
    if (started
        && (address.descriptor() != newAddress.descriptor()
            || address.available() != newAddress.available()
            || address.used() != newAddress.used())) {
      requireStopped("SET_VRING_ADDR");
    }
    address = newAddress;
  }

  private void requireStopped(String message) throws ProtocolFault {
    if (started) {
      throw new ProtocolFault(message + " while vring " + index + " is started");
    }
  }

  void setEnabled(boolean now) {
    enabled = now;
  }

  /** The kick descriptor; null for polling. It wakes the queue's owner from now on. */
  void setKick(EventFd newKick) {
    dropKick();
    hasKick = true;
    kick = newKick;
    if (newKick != null) {
      int fd = newKick.fd().value();
      owner.execute(
          () -> {
            try {
              owner.watch(fd);
            } catch (RuntimeException e) {
              // What cannot be waited for (a regular file, say) never kicks.
              LOG.log(Level.WARNING, "vring {0}: kick descriptor: {1}", index, e.getMessage());
            }
          });
    }
  }

  private void dropKick() {
    EventFd old = kick;
    kick = null;
    hasKick = false;
    if (old == null) {
      return;
    }
    try {
      // Nobody read it while the ring ran, so it holds the number of all kicks.
      kicks += old.drain();
    } catch (LinuxException e) {
      LOG.log(Level.DEBUG, "vring {0}: kick descriptor: {1}", index, e.getMessage());
    }
    int fd = old.fd().value();
    owner.execute(
        () -> {
          try {
            owner.unwatch(fd);
          } catch (RuntimeException e) {
            LOG.log(Level.DEBUG, "vring {0}: kick descriptor: {1}", index, e.getMessage());
          } finally {
            old.close();
          }
        });
  }

  void setCall(EventFd newCall) {
    EventFd old = call;
    call = newCall;
    closeOnOwner(old);
    if (newCall != null && started) {
      // Used buffers may have been announced on the old one: a spurious notification is harmless.
      signal(newCall);
    }
  }

  void setError(EventFd newError) {
    EventFd old = error;
    error = newError;
    closeOnOwner(old);
  }

  private void closeOnOwner(EventFd old) {
    if (old != null) {
      owner.execute(old::close);
    }
  }

  /** Used buffer notification. On the owner. */
  void notifyUsed() {
    signal(call);
  }

  /** The ring broke. On the owner. */
  void notifyError() {
    signal(error);
  }

  private void signal(EventFd event) {
    if (event == null) {
      return;
    }
    try {
      event.signal();
    } catch (LinuxException e) {
      LOG.log(Level.DEBUG, "vring {0}: cannot signal: {1}", index, e.getMessage());
    }
  }

  /**
   * The front-end has gone: nobody is notified any more. An owner that is held up in a notification
   * goes on: O_NONBLOCK belongs to the open file, so a front-end can clear it and fill the counter.
   */
  void silence() {
    EventFd oldCall = call;
    EventFd oldError = error;
    call = null;
    error = null;
    silence(oldCall);
    silence(oldError);
  }

  private void silence(EventFd old) {
    if (old == null) {
      return;
    }
    try {
      old.drain();
    } catch (LinuxException e) {
      LOG.log(Level.DEBUG, "vring {0}: cannot drain: {1}", index, e.getMessage());
    }
    closeOnOwner(old);
  }

  boolean isReady(boolean mustBeEnabled) {
    return num != 0 && address != null && hasKick && (enabled || !mustBeEnabled);
  }

  boolean isPolled() {
    return kick == null;
  }

  /**
   * The layout in guest addresses.
   *
   * @param packed the format of the ring
   * @return null when an address is in no region
   */
  QueueLayout layout(VhostMemory memory, boolean packed) {
    if (!memory.holdsUser(address.descriptor())
        || !memory.holdsUser(address.available())
        || !memory.holdsUser(address.used())) {
      return null;
    }
    return new QueueLayout(
        num,
        memory.guestOfUser(address.descriptor()),
        memory.guestOfUser(address.available()),
        memory.guestOfUser(address.used()),
        base >= 0 ? base : packed ? QueueLayout.PACKED_START : 0);
  }

  /** Back to the initial state; the descriptors are closed. The queue must have stopped. */
  void reset() {
    started = false;
    dropKick();
    setCall(null);
    setError(null);
    num = 0;
    base = -1;
    packedBase = false;
    address = null;
    enabled = false;
  }

  /** GET_VRING_BASE has stopped it: the next start sets a new kick descriptor. */
  void stopped() {
    started = false;
    dropKick();
  }
}
