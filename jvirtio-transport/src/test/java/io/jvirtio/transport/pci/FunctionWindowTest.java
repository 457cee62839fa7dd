// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.SharedMemory;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.TestDevice;
import io.jvirtio.transport.pci.FunctionRig.Structure;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;

/** BARs by the configuration space, and shared memory. */
class FunctionWindowTest {
  private static final String WINDOW = "Virtio Over PCI Bus / PCI configuration access capability";

  private final MemorySegment memory = Arena.ofAuto().allocate(10_000, 4096);
  private final FunctionRig rig = new FunctionRig(PciOptions.defaults(), withMemory());
  private final int at = rig.structure(FunctionRig.PCI).at();

  private TestDevice withMemory() {
    TestDevice device = new TestDevice(2, 2);
    device.shared =
        List.of(
            new SharedMemory(0, Arena.ofAuto().allocate(1)),
            new SharedMemory(200, memory.asSlice(0, 9000)));
    return device;
  }

  private void open(int bar, long offset, long length) {
    rig.setConfig(at + 4, 1, bar);
    rig.setConfig(at + 8, 4, offset);
    rig.setConfig(at + 12, 4, length);
  }

  @Test
  @Requirement(
      section = WINDOW,
      text =
          "Upon detecting driver write access to pci_cfg_data, the device MUST execute a write"
              + " access at offset cap.offset at BAR selected by cap.bar using the first cap.length"
              + " bytes from pci_cfg_data.")
  @Requirement(
      section = WINDOW,
      text =
          "Upon detecting driver read access to pci_cfg_data, the device MUST execute a read access"
              + " of length cap.length at offset cap.offset at BAR selected by cap.bar and store"
              + " the first cap.length bytes in pci_cfg_data.")
  void barsAreReachedByTheConfigurationSpace() {
    open(4, 0x16, 2);
    rig.setConfig(at + 16, 2, 1);
    assertEquals(1, rig.common(0x16, 2));
    rig.setCommon(0x16, 2, 0);
    assertEquals(0, rig.config(at + 16, 2));
    open(4, 0x14, 1);
    rig.setConfig(at + 16, 1, 3);
    assertEquals(3, rig.common(0x14, 1));
    assertEquals(3, rig.config(at + 16, 1));
    assertEquals(3, rig.config(at + 16, 4) & 0xff);
    open(4, 0, 4);
    rig.setConfig(at + 16, 4, 0x89abcdefL);
    assertEquals(0x89abcdefL, rig.common(0, 4));
    assertEquals(0x89abcdefL, rig.config(at + 16, 4));
    assertEquals(0xab, rig.config(at + 18, 1));
    open(2, 4096, 4);
    memory.set(ValueLayout.JAVA_INT, 0, 0x5555_1234);
    assertEquals(0x5555_1234L, rig.config(at + 16, 4));
    assertEquals(4096, rig.config(at + 8, 4));
    assertEquals(0, rig.ignored());
  }

  @Test
  void buffersComeBackWithoutAnyBar() {
    rig.start();
    rig.add(1);
    open(4, rig.structure(FunctionRig.NOTIFY).offset() + 4, 2);
    rig.setConfig(at + 16, 2, 1);
    rig.owner.runUntilIdle();
    assertEquals(1, rig.used(1));
    assertTrue(rig.pin);
    open(4, rig.structure(FunctionRig.ISR).offset(), 1);
    assertEquals(1, rig.config(at + 16, 1));
    assertFalse(rig.pin);
    assertEquals(0, rig.ignored());
  }

  @Test
  void aWindowThatLeadsNowhereDoesNothing() {
    long[][] wrong = {
      {4, 0, 0},
      {4, 0, 3},
      {4, 0, 8},
      {4, 0, 0xffff_fffcL},
      {4, 0x15, 2},
      {4, 0x12, 4},
      {0, 0, 4},
      {1, 0, 4},
      {3, 0, 4},
      {5, 0, 4},
      {6, 0, 4},
      {255, 0, 4}
    };
    for (long[] w : wrong) {
      open((int) w[0], w[1], w[2]);
      rig.config(at + 16, 4);
      rig.setConfig(at + 16, 4, 0x0a0b0c0d);
      assertEquals(2, rig.ignored());
      assertEquals(0x0a0b0c0d, rig.config(at + 16, 4));
      assertEquals(1, rig.ignored());
    }
    open(4, 0xffff_fffcL, 4);
    assertEquals(0, rig.config(at + 16, 4));
    rig.setConfig(at + 16, 4, 1);
    assertEquals(2, rig.ignored());
    rig.function.reset();
    assertEquals(0, rig.config(at + 8, 4));
    assertEquals(0, rig.config(at + 12, 4));
  }

  @Test
  void whatIsWrittenByHalvesIsWrittenTwice() {
    open(4, 0, 4);
    rig.setConfig(at + 16, 2, 0x1111);
    assertEquals(0x1111, rig.common(0, 4));
    rig.setConfig(at + 18, 2, 0x2222);
    assertEquals(0x2222_1111, rig.common(0, 4));
  }

  @Test
  @Requirement(
      section = "Shared Memory Regions",
      text =
          "Shared memory regions MUST NOT expose shared memory regions which are used to control"
              + " the operation of the device, nor to stream data.")
  void sharedMemoryIsMemory() {
    Structure first = rig.structures(FunctionRig.SHARED).getFirst();
    Structure second = rig.structures(FunctionRig.SHARED).get(1);
    assertEquals(200, second.id());
    assertEquals(0, second.offset() % 4096);
    assertEquals(16384, rig.function.bars().get(2).window().size());
    rig.setBar(2, second.offset() + 8992, 8, 0x1122334455667788L);
    rig.setBar(2, second.offset() + 1, 4, 0x99aabbccL);
    rig.setBar(2, second.offset() + 5, 2, 0xddee);
    rig.setBar(2, second.offset() + 7, 1, 0xff);
    assertEquals(0x1122334455667788L, memory.get(ValueLayout.JAVA_LONG, 8992));
    assertEquals(0x1122334455667788L, rig.bar(2, second.offset() + 8992, 8));
    assertEquals(0x99aabbccL, rig.bar(2, second.offset() + 1, 4));
    assertEquals(0xddee, rig.bar(2, second.offset() + 5, 2));
    assertEquals(0xff, rig.bar(2, second.offset() + 7, 1));
    assertEquals(0, rig.ignored());
    for (long offset : new long[] {first.offset() + 1, second.offset() + 8993, 16384, -1}) {
      rig.setBar(2, offset, 8, -1);
      assertEquals(0, rig.bar(2, offset, 8));
      assertEquals(2, rig.ignored());
    }
    assertEquals(0, memory.get(ValueLayout.JAVA_LONG, 9000));
  }

  private static final long[] WILD = {
    Long.MIN_VALUE,
    Long.MIN_VALUE + 8,
    -8,
    -1,
    0,
    1,
    3,
    8,
    0x14,
    20,
    24,
    0x1000,
    0x2000,
    0x2004,
    0x3000,
    0xfff,
    0xff,
    0x100,
    9000,
    4095,
    0x7fff_ffffL,
    0x8000_0000L,
    0xffff_ffffL,
    0x1_0000_0000L,
    Long.MAX_VALUE - 7,
    Long.MAX_VALUE
  };

  private static void hit(RegisterWindow window) throws IOException {
    for (int width : new int[] {Integer.MIN_VALUE, -1, 0, 3, 5, 6, 7, 9, 16, Integer.MAX_VALUE}) {
      for (long offset : WILD) {
        assertEquals(0, window.read(offset, width), width + " bytes at " + offset);
        window.write(offset, width, -1);
      }
    }
    for (int width : new int[] {1, 2, 4, 8}) {
      for (long offset : WILD) {
        window.read(offset, width);
        window.write(offset, width, 0x8000_0000_0000_0000L);
      }
    }
  }

  @Test
  void anyOffsetAndAnyWidthIsAnswered() throws IOException {
    TestDevice device = withMemory();
    for (PciProfile profile : PciProfile.values()) {
      try (FunctionRig any = new FunctionRig(FunctionRig.options(profile), device)) {
        hit(any.function.config());
        for (PciBar bar : any.function.bars()) {
          if (bar != null) {
            hit(bar.window());
          }
        }
      }
    }
  }
}
