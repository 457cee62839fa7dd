// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.pci.PciAccess;
import io.jvirtio.transport.pci.PciBar;
import io.jvirtio.transport.pci.PciFunction;
import io.jvirtio.transport.pci.PciOptions;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.IntFunction;

/**
 * A bus with one PCI function, a virtio device, in the same process as its driver: {@link
 * io.jvirtio.transport.pci.PciDriverTransport} over {@link PciFunction}, through all registers that
 * both have.
 */
public final class InProcessPci implements PciAccess {
  private static final Logger LOG = System.getLogger(InProcessPci.class.getName());

  private static final long REGION_BYTES = 1 << 20;
  private static final int COMMAND = 0x04;
  private static final int COMMAND_IO = 1;
  private static final int COMMAND_MEMORY = 2;
  private static final int STATUS = 0x06;
  private static final int STATUS_INTERRUPT = 8;
  private static final int BARS = 0x10;
  private static final long IO_BASE = 0xc000;
  private static final long MEMORY_BASE = 0xfe00_0000L;
  private static final long WIDE_BASE = 0x80_0000_0000L;

  private static final int CAPABILITIES = 0x34;
  private static final int CAP_ID_MSIX = 0x11;
  private static final int MSIX_ENABLE = 0x8000;
  private static final int MSIX_ENTRY = 16;

  /** Memory that a device did not let go of: kept for ever, because it may still write there. */
  private static final Queue<DriverMemory> KEPT = new ConcurrentLinkedQueue<>();

  private final PciFunction function;
  private final InProcessInterrupts interrupts;
  private final ExecutorService mine;

  /** The device writes to it for as long as it lives; the function refers to it through this. */
  private final InProcessMemory memory;

  private volatile int command;
  private volatile boolean removed;
  private boolean closed;

  /** Plugs a device in, whose driver does not run on the thread of the device. */
  public InProcessPci(
      VirtioDevice device, IntFunction<? extends QueueOwner> owners, PciOptions options) {
    this(device, owners, options, null);
  }

  /**
   * Plugs a device in.
   *
   * @param device belongs to this bus from now on
   * @param owners of the device's side of each queue; they stay the caller's
   * @param pinExecutor where the handler of the interrupt pin runs; one that runs it at once only
   *     where a single thread does everything. null for a thread of the bus's own
   */
  public InProcessPci(
      VirtioDevice device,
      IntFunction<? extends QueueOwner> owners,
      PciOptions options,
      Executor pinExecutor) {
    mine = pinExecutor != null ? null : Executors.newSingleThreadExecutor(InProcessPci::daemon);
    interrupts =
        new InProcessInterrupts(pinExecutor != null ? pinExecutor : mine, this::wantsInterrupt);
    function = new PciFunction(device, owners, options, interrupts);
    memory = new InProcessMemory(REGION_BYTES, this::memoryGrew);
    assignAddresses();
  }

  private static Thread daemon(Runnable task) {
    Thread thread = new Thread(task, "pci-intx");
    thread.setDaemon(true);
    return thread;
  }

  private boolean wantsInterrupt() {
    try {
      return (function.config().read(STATUS, 2) & STATUS_INTERRUPT) != 0;
    } catch (IOException impossible) { // the device's side throws nothing
      throw new AssertionError(impossible);
    }
  }

  private void memoryGrew(GuestMemory larger) throws IOException {
    if (removed) {
      throw new IOException(name() + " is gone");
    }
    function.growMemory(larger);
  }

  private void assignAddresses() {
    long io = IO_BASE;
    long low = MEMORY_BASE;
    long high = WIDE_BASE;
    for (PciBar bar : function.bars()) {
      if (bar != null) {
        long size = bar.window().size();
        long base = (bar.io() ? io : bar.wide() ? high : low) + size - 1 & -size;
        int at = BARS + 4 * bar.index();
        writeAddress(at, base);
        if (bar.wide()) {
          writeAddress(at + 4, base >>> 32);
          high = base + size;
        } else if (bar.io()) {
          io = base + size;
        } else {
          low = base + size;
        }
      }
    }
  }

  private void writeAddress(int at, long word) {
    try {
      function.config().write(at, 4, word & 0xffff_ffffL);
    } catch (IOException impossible) {
      throw new AssertionError(impossible);
    }
  }

  /** The function, for tests and tools. */
  public PciFunction function() {
    return function;
  }

  /** Takes the function out of its slot, without a word to its driver. */
  public void remove() {
    removed = true;
    function.close();
  }

  @Override
  public String name() {
    return "0000:00:01.0";
  }

  /** Nothing answers where nothing is: reads give all ones. */
  private abstract class Slot implements RegisterWindow {
    private final RegisterWindow target;

    Slot(RegisterWindow target) {
      this.target = target;
    }

    abstract boolean answers();

    @Override
    public long size() {
      return target.size();
    }

    @Override
    public long read(long offset, int width) throws IOException {
      return answers() ? target.read(offset, width) : -1L >>> 64 - 8 * width;
    }

    @Override
    public void write(long offset, int width, long value) throws IOException {
      if (answers()) {
        target.write(offset, width, value);
      }
    }
  }

  @Override
  public RegisterWindow config() {
    return new Slot(function.config()) {
      @Override
      boolean answers() {
        return !removed;
      }

      @Override
      public void write(long offset, int width, long value) throws IOException {
        super.write(offset, width, value);
        command = (int) read(COMMAND, 2);
      }
    };
  }

  @Override
  public RegisterWindow bar(int index) throws IOException {
    PciBar bar = index >= 0 && index < 6 ? function.bars().get(index) : null;
    if (bar == null) {
      throw new IOException(name() + " has no BAR " + index);
    }
    int enabled = bar.io() ? COMMAND_IO : COMMAND_MEMORY;
    return new Slot(bar.window()) {
      @Override
      boolean answers() {
        return !removed && (command & enabled) != 0;
      }
    };
  }

  @Override
  public DriverMemory memory() {
    return memory;
  }

  @Override
  public void enableMsix(List<Runnable> handlers) throws IOException {
    if (handlers.size() > function.msixVectors()) {
      throw new IOException(
          name() + " has " + function.msixVectors() + " vectors, not " + handlers.size());
    }
    RegisterWindow config = config();
    int capability = msixCapability();
    long table = config.read(capability + 4, 4);
    RegisterWindow bar = bar((int) table & 7);
    interrupts.enableVectors(handlers);
    for (int i = 0; i < handlers.size(); i++) {
      long entry = (table & ~7) + MSIX_ENTRY * i;
      bar.write(entry, 4, InProcessInterrupts.ADDRESS);
      bar.write(entry + 4, 4, 0);
      bar.write(entry + 8, 4, i);
      bar.write(entry + 12, 4, 0); // not masked
    }
    setMsixEnabled(true);
  }

  private void setMsixEnabled(boolean enabled) throws IOException {
    int at = msixCapability() + 2;
    long control = config().read(at, 2);
    config().write(at, 2, enabled ? control | MSIX_ENABLE : control & ~MSIX_ENABLE);
  }

  private int msixCapability() throws IOException {
    RegisterWindow config = config();
    int at = (int) config.read(CAPABILITIES, 1);
    while (at != 0 && !removed && config.read(at, 1) != CAP_ID_MSIX) {
      at = (int) config.read(at + 1, 1);
    }
    if (at == 0 || removed) {
      throw new IOException(name() + " has no MSI-X");
    }
    return at;
  }

  @Override
  public void enableIntx(Runnable handler) {
    interrupts.enablePin(handler);
  }

  @Override
  public void disableInterrupts() throws IOException {
    if (!removed && function.msixVectors() > 0) {
      setMsixEnabled(false);
    }
    interrupts.disable();
  }

  /** {@inheritDoc} What drivers still hold of the memory stays valid. */
  @Override
  public void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    removed = true;
    function.close();
    if (function.host().isAnyRunning()) {
      KEPT.add(memory);
      LOG.log(Level.WARNING, "{0} does not end: its memory is kept", name());
    }
    if (mine != null) {
      mine.shutdown();
    }
  }
}
