// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.SharedMemory;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.registers.DeviceRegisters;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.function.IntFunction;

/**
 * A virtio device as a function on a PCI bus, for whoever emulates the bus: configuration space and
 * BARs as register windows, and interrupts (virtio 1.4, Virtio Over PCI Bus).
 *
 * <pre>
 *   BAR 0    I/O            the legacy interface, if there
 *   BAR 1    memory         table and pending bits of MSI-X, if there
 *   BAR 2,3  64-bit memory  shared memory regions, if there; prefetchable
 *   BAR 4,5  64-bit memory  the modern interface, if there
 * </pre>
 *
 * <p>What the bus does is left to the bus: BAR windows answer whatever their address registers and
 * the enable bits of the command register say. The function itself sees to it that it neither
 * accesses memory nor sends messages unless it is bus master.
 *
 * <p>Thread-safe. Nothing that a driver does throws: what makes no sense has no effect and is
 * counted, reads of it give zeros.
 */
public final class PciFunction implements AutoCloseable {
  private static final int BARS = 6;
  private static final int LEGACY_BAR = 0;
  private static final int MSIX_BAR = 1;
  private static final int SHARED_BAR = 2;
  private static final int MODERN_BAR = 4;

  private static final int CAP_ID_VENDOR = 0x09;
  private static final int CAP_ID_MSIX = 0x11;
  private static final int MSIX_CONTROL = 2;
  private static final int MSIX_ENABLE = 0x8000;
  private static final int MSIX_MASK = 0x4000;

  private static final int CAP_COMMON = 1;
  private static final int CAP_NOTIFY = 2;
  private static final int CAP_ISR = 3;
  private static final int CAP_DEVICE = 4;
  private static final int CAP_PCI = 5;
  private static final int CAP_SHARED_MEMORY = 8;

  /** Of the structure that all capabilities begin with, what follows id and next. */
  private static final int CAP_BODY = 14;

  private static final FeatureBits LOW_WORD = new FeatureBits(0xffff_ffffL, 0);

  private final DeviceRegisters registers;
  private final InterruptRouter interrupts;
  private final PciConfigSpace config;
  private final PciBar[] bars = new PciBar[BARS];
  private final MsixTable msix;
  private final int msixCapability;
  private final PciWindow window;
  private volatile boolean msixElsewhere;

  /**
   * A function after reset, without memory.
   *
   * @param device belongs to the function from now on
   * @param owners of the device's side of each queue; they stay the caller's
   * @param out where interrupts go
   * @throws IllegalArgumentException when the device cannot be one on PCI, or not of this profile
   */
  public PciFunction(
      VirtioDevice device,
      IntFunction<? extends QueueOwner> owners,
      PciOptions options,
      PciInterrupts out) {
    boolean modern = options.profile() != PciProfile.LEGACY;
    interrupts = new InterruptRouter(out, device.queueCount());
    registers =
        new DeviceRegisters(
            device,
            owners,
            modern ? options.ringFeatures() : options.ringFeatures().and(LOW_WORD),
            options.bigEndianGuest(),
            interrupts,
            options.resets());
    AccessCounters counters = registers.counters();
    config = new PciConfigSpace(device.deviceId(), options, counters);
    int vectors = options.msixVectors();
    vectors = vectors == PciOptions.PER_QUEUE ? Math.min(2048, device.queueCount() + 1) : vectors;
    msix = vectors == 0 ? null : new MsixTable(vectors, out, options.externalMsix(), counters);
    LegacyBar legacy = null;
    if (options.profile() != PciProfile.MODERN) {
      legacy =
          new LegacyBar(
              registers, interrupts, () -> config.setCommand(PciConfigSpace.COMMAND_MASTER));
      add(new PciBar(LEGACY_BAR, true, false, false, legacy));
    }
    ModernBar modernBar =
        modern ? new ModernBar(registers, interrupts, options.notifyMultiplier()) : null;
    interrupts.connect(registers, msix, legacy, modernBar == null ? null : modernBar.common());
    window = modern ? addModern(modernBar, options, device.sharedMemory()) : null;
    msixCapability = msix == null ? -1 : addMsix();
    config.complete(new Effects());
    registers.setMayAccess(false);
  }

  private void add(PciBar bar) {
    bars[bar.index()] = bar;
    config.addBar(bar);
  }

  private PciWindow addModern(ModernBar bar, PciOptions options, List<SharedMemory> shared) {
    add(new PciBar(MODERN_BAR, false, true, false, bar));
    structure(CAP_COMMON, MODERN_BAR, 0, ModernBar.COMMON, CommonConfig.SIZE, 0, null);
    structure(
        CAP_NOTIFY,
        MODERN_BAR,
        0,
        bar.notifyOffset(),
        bar.notifyLength(),
        4,
        extra -> extra.putInt(options.notifyMultiplier()));
    structure(CAP_ISR, MODERN_BAR, 0, ModernBar.ISR, 4, 0, null);
    if (bar.deviceLength() > 0) {
      structure(CAP_DEVICE, MODERN_BAR, 0, ModernBar.DEVICE, bar.deviceLength(), 0, null);
    }
    if (!shared.isEmpty()) {
      SharedMemoryBar memory = new SharedMemoryBar(shared, registers.counters());
      add(new PciBar(SHARED_BAR, false, true, true, memory));
      for (int i = 0; i < shared.size(); i++) {
        long offset = memory.offset(i);
        long length = shared.get(i).memory().byteSize();
        structure(
            CAP_SHARED_MEMORY,
            SHARED_BAR,
            shared.get(i).id(),
            offset,
            length,
            8,
            extra -> extra.putInt((int) (offset >>> 32)).putInt((int) (length >>> 32)));
      }
    }
    int at = structure(CAP_PCI, 0, 0, 0, 0, 4, extra -> extra.putInt(0));
    RegisterWindow[] targets = new RegisterWindow[BARS];
    targets[MODERN_BAR] = bar;
    targets[SHARED_BAR] = bars[SHARED_BAR] == null ? null : bars[SHARED_BAR].window();
    return new PciWindow(config, at, targets, registers.counters());
  }

  private interface Extra {
    void put(ByteBuffer buffer);
  }

  /** Adds a capability for a structure (virtio 1.4, Virtio Structure PCI Capabilities). */
  private int structure(
      int type, int bar, int id, long offset, long length, int more, Extra extra) {
    ByteBuffer body = ByteBuffer.allocate(CAP_BODY + more).order(ByteOrder.LITTLE_ENDIAN);
    body.put((byte) (2 + body.capacity())).put((byte) type).put((byte) bar).put((byte) id);
    body.putShort((short) 0).putInt((int) offset).putInt((int) length);
    if (extra != null) {
      extra.put(body);
    }
    return config.addCapability(CAP_ID_VENDOR, body.array());
  }

  private int addMsix() {
    add(new PciBar(MSIX_BAR, false, false, false, msix));
    ByteBuffer body = ByteBuffer.allocate(10).order(ByteOrder.LITTLE_ENDIAN);
    body.putShort((short) (msix.vectors() - 1));
    body.putInt(MSIX_BAR).putInt(msix.pendingOffset() | MSIX_BAR);
    int at = config.addCapability(CAP_ID_MSIX, body.array());
    config.allow(at + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK);
    return at;
  }

  private final class Effects implements PciConfigSpace.Effects {
    @Override
    public boolean interruptStatus() {
      return interrupts.interruptStatus();
    }

    @Override
    public void reading(int offset, int width) {
      if (window != null && window.isData(offset, width)) {
        window.read();
      }
    }

    @Override
    public void written(int offset, int width) {
      boolean all = width == PciConfigSpace.SIZE;
      boolean command =
          offset < PciConfigSpace.COMMAND + 2 && offset + width > PciConfigSpace.COMMAND;
      if (command) {
        int bits = config.get(PciConfigSpace.COMMAND, 2);
        registers.setMayAccess((bits & PciConfigSpace.COMMAND_MASTER) != 0);
        interrupts.setPinDisabled((bits & PciConfigSpace.COMMAND_INTX_DISABLE) != 0);
      }
      int control = msixCapability + MSIX_CONTROL;
      if (msix != null && (command || offset < control + 2 && offset + width > control)) {
        updateMsix();
      }
      if (!all && window != null && window.isData(offset, width)) {
        window.write();
      }
    }
  }

  private void updateMsix() {
    int control = config.get(msixCapability + MSIX_CONTROL, 2);
    boolean enabled = (control & MSIX_ENABLE) != 0;
    boolean master = (config.get(PciConfigSpace.COMMAND, 2) & PciConfigSpace.COMMAND_MASTER) != 0;
    interrupts.setMsixEnabled(enabled || msixElsewhere);
    msix.setOpen(enabled && master && (control & MSIX_MASK) == 0);
  }

  /**
   * The configuration space, 256 bytes: of a conventional function, without a PCI Express
   * capability. By 1, 2 or 4 bytes, aligned.
   */
  public RegisterWindow config() {
    return config;
  }

  /** The BARs: 6, null where there is none, and for the upper half of a 64-bit one. */
  public List<PciBar> bars() {
    return Collections.unmodifiableList(Arrays.asList(bars));
  }

  /** How many vectors of MSI-X there are; 0 without MSI-X. */
  public int msixVectors() {
    return msix == null ? 0 : msix.vectors();
  }

  /**
   * Whether MSI-X is enabled in a capability that is kept elsewhere ({@link
   * PciOptions#externalMsix}); it is enabled as well when the function's own capability says so.
   *
   * @throws IllegalStateException without MSI-X
   */
  public void setMsixEnabled(boolean enabled) {
    if (msix == null) {
      throw new IllegalStateException("no MSI-X");
    }
    synchronized (config) {
      msixElsewhere = enabled;
      updateMsix();
    }
  }

  /**
   * Replaces guest memory. Queues whose rings are gone stand still until those are there again.
   *
   * @return whether nothing refers any more to what was there before; false when a queue does not
   *     end what it has in flight there, which must stay mapped then
   */
  public boolean setMemory(GuestMemory memory) {
    return registers.setMemory(memory);
  }

  /** Adds to guest memory, without a stop ({@link DeviceHost#growMemory}). */
  public void growMemory(GuestMemory larger) {
    registers.growMemory(larger);
  }

  /**
   * Resets the function, as the bus does: the device and all of the configuration space, the
   * addresses of the BARs included. As with a driver's reset, that of the device may go on when
   * this returns ({@link PciOptions#resets}). Memory stays.
   */
  public void reset() {
    registers.reset();
    synchronized (config) {
      msixElsewhere = false;
      config.reset();
      if (msix != null) {
        msix.reset();
      }
    }
  }

  /** The device's host: features, status, counters. */
  public DeviceHost host() {
    return registers.host();
  }

  /** What made no sense. */
  public AccessCounters counters() {
    return registers.counters();
  }

  /** Resets the device for the last time, and waits for it. */
  @Override
  public void close() {
    registers.close();
  }
}
