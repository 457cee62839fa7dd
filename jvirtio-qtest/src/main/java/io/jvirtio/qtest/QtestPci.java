// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.qtest.PciSlot.Bar;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.pci.PciAccess;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * One PCI function. Message-signalled interrupts go to cells in RAM, one for each vector; the pin
 * is heard of from the I/O APIC.
 */
final class QtestPci implements PciAccess {
  private static final Logger LOGGER = System.getLogger(QtestPci.class.getName());
  private static final int ENABLED =
      PciRegisters.COMMAND_IO
          | PciRegisters.COMMAND_MEMORY
          | PciRegisters.COMMAND_MASTER
          | PciRegisters.COMMAND_INTX_OFF;

  private static final int MSIX_ENABLE = 0x8000;
  private static final int MSIX_ENTRY = 16;
  private static final int VECTOR_MASKED = 1;

  /** A line of the cache for each cell. */
  private static final int CELL = (int) DriverMemory.GRAIN;

  private final QtestMachine machine;
  private final PciSlot slot;
  private final RegisterWindow config;
  private final List<QtestInterrupts.Source> sources = new ArrayList<>();
  private MemorySegment cells;
  private boolean closed;

  /** Turns the function on. */
  QtestPci(QtestMachine machine, PciSlot slot) throws IOException {
    this.machine = machine;
    this.slot = slot;
    this.config = machine.config().window(slot.address());
    config.write(PciRegisters.COMMAND, 2, ENABLED);
  }

  @Override
  public String name() {
    return slot.address().toString();
  }

  @Override
  public RegisterWindow config() {
    return config;
  }

  @Override
  public RegisterWindow bar(int index) throws IOException {
    Bar bar = slot.bar(index);
    if (bar == null || bar.base() == 0) {
      throw new IOException(name() + " has no BAR " + index + (bar == null ? "" : " with room"));
    }
    return machine.window(bar.io(), bar.base(), bar.size());
  }

  @Override
  public DriverMemory memory() {
    return machine.memory();
  }

  @Override
  public synchronized void enableMsix(List<Runnable> handlers) throws IOException {
    checkOpen();
    int capability = PciCapabilities.find(config, PciRegisters.CAPABILITY_MSIX);
    if (capability == 0) {
      throw new IOException(name() + " has no MSI-X");
    }
    int control = (int) config.read(capability + 2, 2);
    int vectors = (control & PciRegisters.MSIX_SIZE) + 1;
    if (handlers.isEmpty() || handlers.size() > vectors) {
      throw new IOException(name() + " has " + vectors + " vectors, not " + handlers.size());
    }
    long where = config.read(capability + 4, 4);
    RegisterWindow bar = bar((int) (where & 7));
    long table = where & ~7L;
    if (table > bar.size() - (long) vectors * MSIX_ENTRY) {
      throw new IOException(name() + ": its MSI-X table reaches out of the BAR");
    }
    MemorySegment words = memory().allocate((long) handlers.size() * CELL, CELL);
    boolean done = false;
    try {
      disableInterrupts();
      cells = words;
      // Enabled first, as every entry is masked: some functions ignore their table until then.
      for (int i = 0; i < vectors; i++) {
        bar.write(table + (long) i * MSIX_ENTRY + 12, 4, VECTOR_MASKED);
      }
      config.write(capability + 2, 2, control & PciRegisters.MSIX_SIZE | MSIX_ENABLE);
      for (int i = 0; i < handlers.size(); i++) {
        MemorySegment word = words.asSlice((long) i * CELL, 4);
        long entry = table + (long) i * MSIX_ENTRY;
        long target = memory().deviceAddress(word);
        sources.add(machine.interrupts().addCell(word, handlers.get(i)));
        bar.write(entry, 4, target & 0xffff_ffffL);
        bar.write(entry + 4, 4, target >>> 32);
        bar.write(entry + 8, 4, 1);
        bar.write(entry + 12, 4, 0);
      }
      done = true;
    } finally {
      if (!done && cells == words) {
        disableInterrupts();
      } else if (!done) {
        memory().release(words);
      }
    }
  }

  @Override
  public synchronized void enableIntx(Runnable handler) throws IOException {
    checkOpen();
    int pin = (int) config.read(PciRegisters.INTERRUPT_PIN, 1);
    if (pin < 1 || pin > 4) {
      throw new IOException(name() + " has no interrupt pin");
    }
    int line = IntxRouting.line(machine.config(), slot.rootDevice(), slot.rootPin(pin - 1));
    machine.interrupts().intercept(IntxRouting.CONTROLLER);
    disableInterrupts();
    sources.add(machine.interrupts().addLine(handler, line));
    config.write(PciRegisters.COMMAND, 2, ENABLED & ~PciRegisters.COMMAND_INTX_OFF);
  }

  @Override
  public synchronized void disableInterrupts() throws IOException {
    try {
      if (!closed) {
        config.write(PciRegisters.COMMAND, 2, ENABLED);
        int capability =
            cells == null ? 0 : PciCapabilities.find(config, PciRegisters.CAPABILITY_MSIX);
        if (capability != 0) {
          config.write(capability + 2, 2, 0);
        }
      }
    } finally {
      machine.interrupts().remove(sources);
      sources.clear();
      if (cells != null) {
        memory().release(cells);
        cells = null;
      }
    }
  }

  private void checkOpen() throws IOException {
    if (closed) {
      throw new IOException(name() + " is closed");
    }
  }

  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    try {
      disableInterrupts();
      // It is bus master no more: what it still wants to write goes nowhere.
      config.write(PciRegisters.COMMAND, 2, PciRegisters.COMMAND_INTX_OFF);
    } catch (IOException e) {
      LOGGER.log(Level.DEBUG, name() + " goes without its registers", e);
    }
    closed = true;
    machine.closed(name());
  }

  @Override
  public String toString() {
    return "PCI function " + name() + " of " + machine;
  }
}
