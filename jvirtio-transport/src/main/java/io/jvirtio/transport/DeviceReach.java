// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.spec.DeviceStatus;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/**
 * Accesses the registers of a device, and notices when it cannot be reached any more: an {@link
 * IOException} that is no answer. Thread-safe.
 */
final class DeviceReach {
  private static final Logger LOG = System.getLogger(DeviceReach.class.getName());

  /** What asks. */
  interface Access<T> {
    T on(DriverRegisters registers) throws IOException;
  }

  /** What tells. */
  interface Step {
    void on(DriverRegisters registers) throws IOException;
  }

  private final DriverRegisters registers;
  private final Consumer<IOException> onLost;

  /** Why the device is lost; null while it is not. */
  private final AtomicReference<IOException> failure = new AtomicReference<>();

  /** Nobody gets through; what waits ends. */
  private volatile boolean closed;

  /** What still waits is the end itself. */
  private volatile boolean ending;

  /**
   * @param onLost hears why, once for each time that the device is lost
   */
  DeviceReach(DriverRegisters registers, Consumer<IOException> onLost) {
    this.registers = registers;
    this.onLost = onLost;
  }

  /** Nobody gets through any more, and what waits ends. */
  void beginClose() {
    closed = true;
  }

  /** What was waiting has ended; who closes may wait. */
  void close() {
    ending = true;
  }

  boolean isClosed() {
    return closed;
  }

  boolean isLost() {
    return failure.get() != null;
  }

  /** The device was found again. */
  void found() {
    failure.set(null);
  }

  /** Throws when closed or lost. */
  void check() throws IOException {
    if (closed) {
      throw new IOException(registers.name() + " is closed");
    }
    IOException reason = failure.get();
    if (reason != null) {
      throw new IOException(reason.getMessage(), reason);
    }
  }

  /** Asks, unless closed or lost. */
  <T> T get(Access<T> access) throws IOException {
    check();
    return anyway(access);
  }

  /** Tells, unless closed or lost. */
  void run(Step step) throws IOException {
    check();
    anyway(
        device -> {
          step.on(device);
          return null;
        });
  }

  /** Asks, also when closed or lost. */
  <T> T anyway(Access<T> access) throws IOException {
    try {
      return access.on(registers);
    } catch (DeviceAnswerException answer) {
      throw answer;
    } catch (IOException unreachable) {
      throw lost(unreachable);
    }
  }

  /**
   * Waits for the device, also when closed or lost.
   *
   * @param what it does, for people
   * @throws DeviceAnswerException when it has not done it in time
   */
  void await(String what, Duration deadline, Access<Boolean> done) throws IOException {
    long start = System.nanoTime();
    while (!anyway(done)) {
      if (closed && !ending) {
        throw new IOException(registers.name() + " is closed");
      }
      String where = registers.name() + ": " + what;
      if (deadline.minusNanos(System.nanoTime() - start).isNegative()) {
        throw new DeviceAnswerException(where + " is not done in " + deadline);
      }
      try {
        Thread.sleep(1);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException("interrupted during " + where, e);
      }
    }
  }

  /** Resets the device and waits until its status is 0, also when closed or lost. */
  void reset(Duration deadline) throws IOException {
    int[] status = new int[1];
    anyway(
        device -> {
          device.writeStatus(0);
          return null;
        });
    try {
      await(
          "reset",
          deadline,
          device -> {
            status[0] = status(device);
            return status[0] == 0;
          });
    } catch (DeviceAnswerException slow) {
      throw new DeviceAnswerException(
          slow.getMessage() + "; its status is " + DeviceStatus.describe(status[0]), slow);
    }
  }

  /** Loses the device if it is not there. */
  void findOut() {
    try {
      get(DeviceReach::status);
    } catch (IOException gone) {
      LOG.log(Level.DEBUG, gone.getMessage());
    }
  }

  /** Notifies the device, unless closed or lost. Allocates nothing. */
  void notifyQueue(int queue, int value, boolean wide) throws IOException {
    check();
    try {
      registers.notifyQueue(queue, value, wide);
    } catch (IOException unreachable) {
      throw lost(unreachable);
    }
  }

  /** The status of a device that is there. */
  static int status(DriverRegisters registers) throws IOException {
    int status = registers.status();
    if (status == -1) {
      throw new IOException("its status reads as all ones");
    }
    return status;
  }

  /** The device is out of reach. */
  IOException lost(IOException why) {
    IOException reason =
        new IOException(registers.name() + " cannot be reached: " + why.getMessage(), why);
    if (!closed && failure.compareAndSet(null, reason)) {
      LOG.log(Level.WARNING, reason.getMessage());
      onLost.accept(reason);
    }
    return reason;
  }
}
