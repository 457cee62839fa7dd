// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.qtest.FakePci.Function;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.mmio.MmioAccess;
import io.jvirtio.transport.pci.PciAccess;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(120)
class QtestMachineTest {
  private static final int VIRTIO = 0x1af4;
  private static final long MMIO = 0xfeb0_0000L;

  @TempDir Path folder;
  private FakePci pci;
  private FakeQemu qemu;

  @BeforeEach
  void start() throws IOException {
    pci = new FakePci(folder);
    qemu = new FakeQemu(folder, pci);
  }

  @AfterEach
  void stop() throws IOException {
    qemu.close();
  }

  private QtestMachine connect() throws IOException {
    return QtestMachine.connect(qemu.path(), pci.ram, FakeQemu.DEADLINE);
  }

  /** A transitional device as QEMU's: ports, the table of MSI-X, a wide BAR. */
  private static Function transitional(int subsystem, int pin) {
    Function function = new Function(VIRTIO, 0x1001);
    function.config.putShort(0x2e, (short) subsystem).put(0x3d, (byte) pin);
    return function.bar(0, 128, 1).bar(1, 4096, 0).bar(4, 16384, 0xc).msix(3, 1, 0x800);
  }

  private void host(int id) {
    pci.add(0, 0, new Function(0x8086, id));
  }

  @Test
  void findsWhatIsOnTheBus() throws IOException {
    host(0x1237);
    pci.add(0, 5, transitional(2, 1));
    pci.add(0, 7, new Function(VIRTIO, 0x1044).bar(4, 16384, 0xc).msix(1, 4, 0));
    pci.add(0, 8, new Function(VIRTIO, 0x1110));
    Function old = new Function(VIRTIO, 0x1000).bar(0, 32, 1);
    old.config.putShort(0x2e, (short) 1);
    pci.add(0, 9, old);
    try (QtestMachine machine = connect()) {
      List<QtestDevice> devices = machine.devices();
      assertEquals(
          List.of("0000:00:05.0", "0000:00:07.0", "0000:00:09.0"),
          devices.stream().map(QtestDevice::address).toList());
      assertEquals(
          List.of("transitional", "modern", "legacy"),
          devices.stream().map(QtestDevice::interfaces).toList());
      assertEquals(List.of(2, 4, 1), devices.stream().map(QtestDevice::deviceId).toList());
      assertEquals(devices.get(1), machine.device("00:07.0"));
      assertEquals(devices.get(1), machine.device("0000:00:07.0"));
      for (String none : new String[] {"00:06.0", "00:07.1", "00:27.0", "", "x", null}) {
        assertThrows(IOException.class, () -> machine.device(none));
      }
    }
  }

  @Test
  void givesAddressesToBars() throws IOException {
    Function one = pci.add(0, 5, transitional(2, 1));
    Function two = pci.add(0, 6, transitional(2, 1));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device("00:06.0"))) {
      assertEquals(0xc001, one.config.getInt(0x10));
      assertEquals(0xc081, two.config.getInt(0x10));
      assertEquals(0xe000_0000, one.config.getInt(0x14));
      assertEquals(0xe000_400c, one.config.getInt(0x20));
      assertEquals(0xe000_8000, two.config.getInt(0x14));
      assertEquals(0xe000_c00c, two.config.getInt(0x20));
      assertEquals(0x407, two.config.getShort(4));
      assertEquals(0x400, one.config.getShort(4));
      RegisterWindow bar = access.bar(4);
      bar.write(8, 4, 0x1234_5678L);
      assertEquals(0x1234_5678L, pci.registers.get(0xe000_c008L));
      assertEquals(0x1234_5678L, bar.read(8, 4));
      assertEquals(0xffff, bar.read(16383, 2));
      bar.write(16384, 4, 1);
      assertFalse(pci.registers.containsKey(0xe001_0000L));
      RegisterWindow ports = access.bar(0);
      ports.write(0x14, 8, 0x1_0000_0002L);
      assertEquals(0x1_0000_0002L, ports.read(0x14, 8));
      assertThrows(IOException.class, () -> access.bar(2));
      assertEquals(0x011a, access.config().read(1, 2));
      assertEquals(0x1001_1af4L, access.config().read(0, 8) & 0xffff_ffffL);
      assertEquals(0xffff, access.config().read(255, 2));
    }
    assertEquals(0x400, two.config.getShort(4));
  }

  @Test
  void barsThatDoNotFitAreWithoutAddress() throws IOException {
    Function huge = new Function(VIRTIO, 0x1042).msix(2, 0, 0);
    huge.bar(0, 1L << 40, 0xc).bar(2, 1L << 31, 0).bar(3, 1 << 15, 1).bar(4, 0x8000_0000L, 0);
    pci.add(0, 5, huge);
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device(null))) {
      for (int i = 0; i < 6; i++) {
        int index = i;
        assertThrows(IOException.class, () -> access.bar(index));
      }
      assertThrows(IOException.class, () -> access.enableMsix(List.of(() -> {})));
    }
  }

  @Test
  void numbersBusesAndOpensWindows() throws IOException {
    Function first = pci.bridge(0, 4);
    Function second = pci.bridge(1, 2);
    pci.add(2, 3, transitional(2, 1));
    Function third = pci.bridge(0, 6);
    try (QtestMachine machine = connect()) {
      assertEquals("0000:02:03.0", machine.devices().getFirst().address());
      assertEquals(0x02_01_00, first.config.getInt(0x18));
      assertEquals(0x02_02_01, second.config.getInt(0x18));
      assertEquals(0x03_03_00, third.config.getInt(0x18));
      for (Function open : List.of(first, second)) {
        assertEquals(0xe000_e000, open.config.getInt(0x20) & 0xfff0_fff0);
        assertEquals((short) 0xc0c0, open.config.getShort(0x1c));
        assertEquals(7, open.config.getShort(4));
      }
      // Base above limit: nothing goes through.
      assertEquals(0x0000_fff0, third.config.getInt(0x20));
      assertEquals(0x00f0, third.config.getShort(0x1c));
    }
  }

  @Test
  void bridgesWithoutEndEndWithTheLastBus() throws IOException {
    for (int bus = 0; bus < 255; bus++) {
      pci.bridge(bus, 0);
    }
    Function past = pci.bridge(255, 0);
    try (QtestMachine machine = connect()) {
      assertEquals(List.of(), machine.devices());
      assertEquals(0, past.config.getInt(0x18));
    }
  }

  @Test
  void msixEndsInCells() throws Exception {
    Function function = pci.add(0, 5, transitional(2, 1));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device(null))) {
      Semaphore zero = new Semaphore(0);
      Semaphore one = new Semaphore(0);
      List<Runnable> four = List.of(() -> {}, () -> {}, () -> {}, () -> {});
      assertThrows(IOException.class, () -> access.enableMsix(four));
      assertThrows(IOException.class, () -> access.enableMsix(List.of()));
      assertEquals(2, function.config.getShort(0x42));
      access.enableMsix(List.of(zero::release, one::release));
      assertEquals(0x8002, function.config.getShort(0x42) & 0xffff);
      long table = 0xe000_0800L;
      assertEquals(0, pci.registers.get(table + 12));
      assertEquals(0, pci.registers.get(table + 28));
      assertEquals(1, pci.registers.get(table + 44));
      long target = pci.registers.get(table + 16);
      assertEquals(0, pci.registers.get(table + 20));
      assertTrue(target >= 1 << 20 && target % 4 == 0, () -> Long.toHexString(target));
      for (int i = 0; i < 3; i++) {
        // As the device does it.
        pci.answer("writel 0x" + Long.toHexString(target) + " 0x1");
        assertTrue(one.tryAcquire(30, TimeUnit.SECONDS));
      }
      assertEquals(0, zero.availablePermits());
      access.disableInterrupts();
      assertEquals(0, function.config.getShort(0x42));
      assertEquals(0, access.memory().allocated());
    }
  }

  @Test
  void anMsixTableOutsideOfItsBarIsRefused() throws IOException {
    pci.add(0, 5, new Function(VIRTIO, 0x1042).bar(1, 4096, 0).msix(3, 1, 0xfe0));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device(null))) {
      assertThrows(IOException.class, () -> access.enableMsix(List.of(() -> {})));
    }
  }

  @Test
  void thePinIsRoutedOnAPc() throws Exception {
    host(0x1237);
    Function isa = pci.add(0, 1, new Function(0x8086, 0x7000));
    Function function = pci.add(0, 5, transitional(2, 1));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device(null))) {
      Semaphore ran = new Semaphore(0);
      access.enableIntx(ran::release);
      assertEquals(0x0b0b_0a0a, isa.config.getInt(0x60));
      assertEquals(7, function.config.getShort(4));
      assertTrue(pci.requests.contains("irq_intercept_in ioapic"));
      // Once in any case, for what was raised before.
      assertTrue(ran.tryAcquire(30, TimeUnit.SECONDS));
      qemu.send("IRQ raise 11\nIRQ raise 9\nIRQ lower 11\nIRQ raise 10\n");
      assertTrue(ran.tryAcquire(100, 30, TimeUnit.SECONDS));
      access.disableInterrupts();
      int runs = ran.drainPermits();
      machine.session().request("irq_intercept_in ioapic");
      assertEquals(0, ran.drainPermits(), () -> "after " + runs);
      assertEquals(0x407, function.config.getShort(4));
    }
  }

  @Test
  void aHandlerRunsWhileTheLineIsRaised() throws Exception {
    host(0x29c0);
    pci.bridge(0, 3);
    pci.add(1, 2, transitional(2, 2));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device(null))) {
      Semaphore ran = new Semaphore(0);
      access.enableIntx(
          () -> {
            try {
              // Requests are fine here.
              access.bar(4).read(0, 1);
              ran.release();
            } catch (IOException e) {
              throw new AssertionError(e);
            }
          });
      assertTrue(ran.tryAcquire(30, TimeUnit.SECONDS));
      // Pin B of device 2 is pin D of the bridge, device 3 on bus 0: (3 + 3) mod 4.
      qemu.send("IRQ raise 22\n");
      assertTrue(ran.tryAcquire(5, 30, TimeUnit.SECONDS));
      qemu.send("IRQ lower 22\n");
    }
  }

  @Test
  void aPinLeadsNowhereOnOtherMachines() throws IOException {
    host(0x0d57);
    pci.add(0, 5, transitional(2, 1));
    pci.add(0, 6, transitional(2, 0));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device("00:05.0"));
        PciAccess pinless = machine.openPci(machine.device("00:06.0"))) {
      assertThrows(IOException.class, () -> access.enableIntx(() -> {}));
      assertThrows(IOException.class, () -> pinless.enableIntx(() -> {}));
    }
  }

  @Test
  void handlersHearOfTheEnd() throws Exception {
    pci.add(0, 5, transitional(2, 1));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device(null))) {
      Semaphore failed = new Semaphore(0);
      access.enableMsix(
          List.of(
              () -> {
                try {
                  access.bar(4).read(0, 4);
                } catch (IOException e) {
                  failed.release();
                }
              }));
      qemu.hangUp();
      assertTrue(failed.tryAcquire(30, TimeUnit.SECONDS));
      assertThrows(IOException.class, access::disableInterrupts);
    }
  }

  @Test
  void ramThatVanishesEndsTheSession() throws Exception {
    pci.add(0, 5, transitional(2, 1));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device(null))) {
      Semaphore failed = new Semaphore(0);
      access.enableMsix(
          List.of(
              () -> {
                try {
                  access.bar(4).read(0, 4);
                } catch (IOException e) {
                  failed.release();
                }
              }));
      try (RandomAccessFile file = new RandomAccessFile(pci.ram.toFile(), "rw")) {
        file.setLength(0);
      }
      assertTrue(failed.tryAcquire(30, TimeUnit.SECONDS));
      assertFalse(machine.session().isAlive());
    }
  }

  @Test
  void mmioDevicesAreFoundUpToTheFirstGap() throws Exception {
    for (int i = 0; i < 8; i++) {
      pci.registers.put(MMIO + 512 * i, 0x7472_6976L);
      pci.registers.put(MMIO + 512 * i + 4, i == 6 ? 1L : 2L);
    }
    pci.registers.put(MMIO + 512 * 6 + 8, 2L);
    pci.registers.put(MMIO + 512 * 7 + 8, 4L);
    try (QtestMachine machine = connect()) {
      assertEquals(
          List.of("legacy", "modern"),
          machine.devices().stream().map(QtestDevice::interfaces).toList());
      QtestDevice device = machine.device("0xFEB00E00");
      assertEquals(4, device.deviceId());
      assertThrows(IOException.class, () -> machine.openPci(device));
      try (MmioAccess access = machine.openMmio(device)) {
        assertThrows(IOException.class, () -> machine.openMmio(device));
        assertEquals(0x7472_6976L, access.registers().read(0, 4));
        Semaphore ran = new Semaphore(0);
        access.enableInterrupt(ran::release);
        for (String lines : List.of("", "IRQ raise 12\nIRQ raise 3\n", "IRQ raise 23\n")) {
          qemu.send(lines);
          assertTrue(ran.tryAcquire(30, TimeUnit.SECONDS));
        }
      }
      machine.openMmio(device).close();
    }
  }

  @Test
  void theSecondControllersLinesArePolled() throws Exception {
    for (int i = 0; i < 24; i++) {
      pci.registers.put(MMIO + 512 * i, 0x7472_6976L);
      pci.registers.put(MMIO + 512 * i + 4, 2L);
    }
    pci.registers.put(MMIO + 512 * 23 + 8, 2L);
    try (QtestMachine machine = connect();
        MmioAccess access = machine.openMmio(machine.device(null))) {
      Semaphore ran = new Semaphore(0);
      access.enableInterrupt(
          () -> {
            pci.registers.remove(MMIO + 512 * 23 + 0x60);
            ran.release();
          });
      pci.registers.put(MMIO + 512 * 23 + 0x60, 1L);
      assertTrue(ran.tryAcquire(30, TimeUnit.SECONDS));
    }
  }

  @Test
  void memoryIsTheRamAboveTheFirstMebibyte() throws IOException {
    pci.add(0, 5, transitional(2, 1));
    try (QtestMachine machine = connect();
        PciAccess access = machine.openPci(machine.device(null))) {
      MemorySegment buffer = access.memory().allocate(4096, 4096);
      long address = access.memory().deviceAddress(buffer);
      assertTrue(address >= 1 << 20 && address < FakePci.RAM_BYTES);
      buffer.set(ValueLayout.JAVA_INT, 0, 0x1234_5678);
      try (RandomAccessFile file = new RandomAccessFile(pci.ram.toFile(), "r")) {
        file.seek(address);
        assertEquals(0x7856_3412, file.readInt());
      }
      IOException e =
          assertThrows(IOException.class, () -> access.memory().allocate(FakePci.RAM_BYTES, 4096));
      assertTrue(e.getMessage().contains("-m"), e.getMessage());
      assertThrows(IOException.class, () -> access.memory().allocate(3 << 20, 64));
    }
  }

  @Test
  void aFileThatIsNotTheRamIsRefused() throws IOException {
    pci.add(0, 5, transitional(2, 1));
    Path other = folder.resolve("other");
    Files.write(other, new byte[FakePci.RAM_BYTES]);
    Path small = Files.write(folder.resolve("small"), new byte[1 << 20]);
    for (Path wrong : new Path[] {other, small, folder, folder.resolve("none"), null}) {
      try (QtestMachine machine = QtestMachine.connect(qemu.path(), wrong, FakeQemu.DEADLINE)) {
        assertThrows(IOException.class, () -> machine.openPci(machine.device(null)));
      }
      qemu.close();
      Files.deleteIfExists(qemu.path());
      qemu = new FakeQemu(folder, pci);
    }
  }
}
