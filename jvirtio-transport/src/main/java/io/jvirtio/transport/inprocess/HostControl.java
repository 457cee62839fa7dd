// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.memory.PeerFault;
import java.io.IOException;

/**
 * The control thread of a {@link DeviceHost}: whoever holds the lock. Turns what a device does
 * wrong into what a driver sees of it on any transport. Thread-safe.
 */
final class HostControl {
  /** A call of the host. */
  @FunctionalInterface
  interface Call<T> {
    T on(DeviceHost host) throws PeerFault;
  }

  /** A call of the host without an answer. */
  @FunctionalInterface
  interface Action {
    void on(DeviceHost host) throws PeerFault;
  }

  private final DeviceHost host;
  private final String name;
  private final Object lock = new Object();
  private volatile boolean closed;

  HostControl(DeviceHost host, String name) {
    this.host = host;
    this.name = name;
  }

  void checkOpen() throws IOException {
    if (closed) {
      throw new IOException(name + " is closed");
    }
  }

  /**
   * Calls the host.
   *
   * @throws IOException when closed, and for whatever the device throws
   */
  <T> T call(Call<T> call) throws IOException {
    synchronized (lock) {
      checkOpen();
      try {
        return call.on(host);
      } catch (PeerFault refused) {
        throw new IOException(name + " refuses: " + refused.getMessage(), refused);
      } catch (RuntimeException failed) {
        // The device's bug, or a queue of it that does not end.
        throw new IOException(name + " failed: " + failed.getMessage(), failed);
      }
    }
  }

  void run(Action action) throws IOException {
    call(
        host -> {
          action.on(host);
          return null;
        });
  }

  /** Whether the device has not let go of a queue, even if it rests. Also when closed. */
  boolean isRunning() {
    synchronized (lock) {
      return host.isSuspended() || host.isAnyRunning();
    }
  }

  /**
   * Resets the device for the last time.
   *
   * @return whether this call has closed it
   * @throws IllegalStateException when the device does not let go of a queue: it is closed all the
   *     same
   */
  boolean close() {
    synchronized (lock) {
      if (closed) {
        return false;
      }
      closed = true;
      host.reset();
      return true;
    }
  }
}
