// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.DriverRegisters.Interrupts;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * How a driver gets interrupts of a PCI function: it tries what it was told to, in that order
 * (virtio 1.4, MSI-X Vector Configuration). Control thread only, but for {@link #isMsix}.
 */
final class PciVectors {
  /** Maps an event to no vector, and says that mapping it failed. */
  static final int NO_VECTOR = 0xffff;

  private static final int CONFIG_VECTOR = 0;
  private static final int SHARED_VECTOR = 1;

  /** The registers that events are mapped with. */
  interface Registers {
    /** Maps configuration changes, and reads back what they are mapped to. */
    int mapConfig(int vector) throws IOException;

    /** Maps the used buffers of a queue, and reads back what they are mapped to. */
    int mapQueue(int queue, int vector) throws IOException;

    /** Reads the interrupt status, which clears it. */
    int takeInterruptStatus() throws IOException;
  }

  private final PciAccess access;
  private final PciHeader header;
  private final List<Attempt> attempts;
  private final int tableSize;
  private final Registers registers;

  /** By queue; {@link #NO_VECTOR} for none. */
  private int[] vectors = {};

  private volatile boolean msix;

  /**
   * @param tableSize vectors that the function has
   */
  PciVectors(
      PciAccess access,
      PciHeader header,
      List<Attempt> attempts,
      int tableSize,
      Registers registers) {
    this.access = access;
    this.header = header;
    this.attempts = attempts;
    this.tableSize = tableSize;
    this.registers = registers;
  }

  /** Whether MSI-X is enabled. Any thread. */
  boolean isMsix() {
    return msix;
  }

  /** Connects the configuration and some queues. */
  void connect(BitSet queues, Interrupts interrupts) throws IOException {
    List<String> reasons = new ArrayList<>();
    for (Attempt attempt : attempts) {
      try {
        connect(attempt, queues, interrupts);
        return;
      } catch (DeviceAnswerException refused) {
        reasons.add(attempt + ": " + refused.getMessage());
        disconnect();
      }
    }
    if (!attempts.isEmpty()) {
      throw new DeviceAnswerException(
          access.name() + " gives no interrupts; " + String.join("; ", reasons));
    }
  }

  private void connect(Attempt attempt, BitSet queues, Interrupts interrupts) throws IOException {
    switch (attempt) {
      case MSIX_EACH -> connectMsix(queues, interrupts, false);
      case MSIX_SHARED -> connectMsix(queues, interrupts, true);
      case INTX -> connectPin(interrupts);
    }
  }

  private void connectMsix(BitSet queues, Interrupts interrupts, boolean shared)
      throws IOException {
    int[] wanted = new int[queues.length()];
    List<Runnable> handlers = new ArrayList<>();
    handlers.add(interrupts::configurationChanged);
    if (shared) {
      handlers.add(() -> queues.stream().forEach(interrupts::usedBuffers));
    }
    for (int i = 0; i < wanted.length; i++) {
      wanted[i] = NO_VECTOR;
      if (queues.get(i)) {
        wanted[i] = shared ? SHARED_VECTOR : handlers.size();
        if (!shared) {
          int queue = i;
          handlers.add(() -> interrupts.usedBuffers(queue));
        }
      }
    }
    if (handlers.size() > tableSize) {
      throw new DeviceAnswerException(tableSize + " vectors, not " + handlers.size());
    }
    enable(() -> access.enableMsix(handlers));
    msix = true;
    vectors = wanted;
    verify("configuration changes", registers.mapConfig(CONFIG_VECTOR), CONFIG_VECTOR);
    for (int i = 0; i < wanted.length; i++) {
      mapQueue(i);
    }
  }

  /** Maps a queue, again after its reset. */
  void mapQueue(int queue) throws IOException {
    int vector = queue < vectors.length ? vectors[queue] : NO_VECTOR;
    if (msix && vector != NO_VECTOR) {
      verify("queue " + queue, registers.mapQueue(queue, vector), vector);
    }
  }

  private static void verify(String what, int mapped, int wanted) throws IOException {
    if (mapped != wanted) {
      throw new DeviceAnswerException(
          String.format("%s mapped to vector %d read back as 0x%x", what, wanted, mapped));
    }
  }

  private void connectPin(Interrupts interrupts) throws IOException {
    if (!header.hasInterruptPin()) {
      throw new DeviceAnswerException("no interrupt pin");
    }
    header.command(0, PciHeader.COMMAND_INTX_DISABLE);
    enable(
        () ->
            access.enableIntx(
                () -> {
                  try {
                    int status = registers.takeInterruptStatus();
                    if (status != 0) { // else of another function on the same line
                      interrupts.interrupt(status);
                    }
                  } catch (IOException e) {
                    interrupts.failed(e);
                  }
                }));
  }

  private interface Enable {
    void run() throws IOException;
  }

  /** Whatever the system has against it, the next attempt may work. */
  private static void enable(Enable enable) throws IOException {
    try {
      enable.run();
    } catch (IOException e) {
      throw new DeviceAnswerException(e.getMessage(), e);
    }
  }

  /** Unmaps what was mapped, and lets no interrupt through any more. */
  void disconnect() throws IOException {
    int[] old = vectors;
    boolean was = msix;
    vectors = new int[0];
    try {
      if (was) {
        registers.mapConfig(NO_VECTOR);
        for (int i = 0; i < old.length; i++) {
          if (old[i] != NO_VECTOR) {
            registers.mapQueue(i, NO_VECTOR);
          }
        }
      }
    } finally {
      access.disableInterrupts();
      msix = false;
    }
  }
}
