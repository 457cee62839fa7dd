// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.TestDevice;
import io.jvirtio.transport.pci.FunctionRig.Message;
import java.util.List;
import org.junit.jupiter.api.Test;

/** MSI-X and the pin. */
class FunctionInterruptTest {
  private static final String OPERATION =
      "Virtio Over PCI Bus / PCI-specific Initialization And Device Operation / ";
  private static final String VECTORS =
      OPERATION + "Device Initialization / MSI-X Vector Configuration";
  private static final String ISR = "Virtio Over PCI Bus / ISR status capability";
  private static final long ADDRESS = 0x1_fee0_1000L;

  private final FunctionRig rig = new FunctionRig(PciOptions.defaults());

  private long isr() {
    return rig.get(FunctionRig.ISR, 0, 1);
  }

  private boolean statusBit() {
    return (rig.config(6, 2) & 8) != 0;
  }

  @Test
  @Requirement(
      section = ISR,
      text =
          "If MSI-X capability is disabled, the device MUST set the Queue Interrupt bit in ISR"
              + " status before sending a virtqueue notification to the driver.")
  @Requirement(
      section = ISR,
      text =
          "If MSI-X capability is disabled, the device MUST set the Interrupt Status bit in the PCI"
              + " Status register in the PCI Configuration Header of the device to the logical OR"
              + " of all bits in ISR status of the device. The device then asserts/deasserts INT#x"
              + " interrupts unless masked according to standard PCI rules.")
  @Requirement(section = ISR, text = "The device MUST reset ISR status to 0 on driver read.")
  @Requirement(
      section = ISR,
      text =
          "The device MUST set the Device Configuration Interrupt bit in ISR status before sending"
              + " a device configuration change notification to the driver.")
  void thePinIsAssertedUntilTheStatusIsRead() {
    rig.start();
    assertFalse(rig.pin);
    assertFalse(statusBit());
    rig.transfer(0);
    assertTrue(rig.pin);
    assertTrue(statusBit());
    rig.device.config.change(() -> {});
    assertEquals(3, isr());
    assertFalse(rig.pin);
    assertFalse(statusBit());
    assertEquals(0, isr());
    rig.device.config.change(() -> {});
    assertTrue(rig.pin);
    assertEquals(2, rig.get(FunctionRig.ISR, 0, 4));
    assertFalse(rig.pin);
    assertEquals(0, rig.ignored());
    rig.get(FunctionRig.ISR, 0, 8);
    rig.get(FunctionRig.ISR, 1, 1);
    rig.set(FunctionRig.ISR, 0, 1, 0);
    assertEquals(3, rig.ignored());
    assertEquals(List.of(), rig.messages);
  }

  @Test
  void thePinCanBeDisabled() {
    rig.start();
    rig.setConfig(4, 2, 0x406);
    rig.transfer(0);
    assertFalse(rig.pin);
    assertTrue(statusBit());
    rig.setConfig(4, 2, 6);
    assertTrue(rig.pin);
    rig.setConfig(5, 1, 4);
    assertFalse(rig.pin);
    rig.setConfig(5, 1, 0);
    assertTrue(rig.pin);
    rig.setCommon(0x14, 1, 0);
    assertFalse(rig.pin);
    assertEquals(0, isr());
  }

  @Test
  @Requirement(
      section = VECTORS,
      text =
          "Device MUST report the number of vectors supported in Table Size in the MSI-X Capability"
              + " as specified in [PCI].")
  @Requirement(
      section = VECTORS,
      text =
          "Device MUST support mapping any event type to any valid vector 0 to MSI-X Table Size.")
  @Requirement(section = VECTORS, text = "Device MUST support unmapping any event type.")
  @Requirement(
      section = VECTORS,
      text =
          "The device MUST return vector mapped to a given event, (NO_VECTOR if unmapped) on read"
              + " of config_msix_vector/queue_msix_vector.")
  @Requirement(
      section = VECTORS,
      text =
          "The device MUST have all queue and configuration change events are unmapped upon reset.")
  @Requirement(
      section = VECTORS,
      text =
          "Devices MUST report mapping failures by returning the NO_VECTOR value when the relevant"
              + " config_msix_vector/queue_msix_vector field is read.")
  void eventsAreMappedToVectors() {
    assertEquals(3, rig.function.msixVectors());
    assertEquals(2, rig.config(rig.msix() + 2, 2));
    for (int round = 0; round < 2; round++) {
      assertEquals(0xffff, rig.common(0x10, 2));
      for (int queue = 0; queue < 2; queue++) {
        rig.setCommon(0x16, 2, queue);
        assertEquals(0xffff, rig.common(0x1a, 2));
        for (int vector : new int[] {0, 1, 2, 0xffff, 2}) {
          rig.setCommon(0x1a, 2, vector);
          assertEquals(vector, rig.common(0x1a, 2));
          rig.setCommon(0x10, 2, vector);
          assertEquals(vector, rig.common(0x10, 2));
        }
      }
      assertEquals(0, rig.ignored());
      for (int vector : new int[] {3, 0x7ff, 0x800, 0xfffe}) {
        rig.setCommon(0x1a, 2, vector);
        assertEquals(0xffff, rig.common(0x1a, 2));
        rig.setCommon(0x10, 2, vector);
        assertEquals(0xffff, rig.common(0x10, 2));
      }
      assertEquals(8, rig.ignored());
      rig.setCommon(0x10, 2, 1);
      rig.setCommon(0x1a, 2, 1);
      rig.setCommon(0x14, 1, 0);
    }
  }

  /** Live, with vector 0 for the configuration and 1 and 2 for the queues. */
  private void startWithVectors(FunctionRig with) {
    with.negotiate();
    with.enableMsix();
    with.setCommon(0x10, 2, 0);
    for (int queue = 0; queue < 2; queue++) {
      with.setCommon(0x16, 2, queue);
      with.setCommon(0x1a, 2, queue + 1);
      with.enable(queue);
    }
    with.setCommon(0x14, 1, 0xf);
  }

  @Test
  @Requirement(
      section = OPERATION + "Used Buffer Notifications",
      text =
          "If MSI-X capability is enabled and queue_msix_vector is NO_VECTOR for a virtqueue, the"
              + " device MUST NOT deliver an interrupt for that virtqueue.")
  @Requirement(
      section = OPERATION + "Notification of Device Configuration Changes",
      text =
          "If MSI-X capability is enabled and config_msix_vector is NO_VECTOR, the device MUST NOT"
              + " deliver an interrupt for device configuration space changes.")
  void messagesAreSent() {
    for (int i = 0; i < 3; i++) {
      rig.vector(i, ADDRESS + 16 * i, 40 + i);
    }
    startWithVectors(rig);
    rig.transfer(1);
    rig.device.config.change(() -> {});
    rig.transfer(0);
    assertEquals(
        List.of(
            new Message(2, ADDRESS + 32, 42),
            new Message(0, ADDRESS, 40),
            new Message(1, ADDRESS + 16, 41)),
        rig.messages);
    assertFalse(rig.pin);
    assertFalse(statusBit());
    assertEquals(2, isr());
    rig.messages.clear();
    rig.setCommon(0x10, 2, 0xffff);
    rig.setCommon(0x16, 2, 1);
    rig.setCommon(0x1a, 2, 0xffff);
    rig.transfer(1);
    rig.device.config.change(() -> {});
    assertEquals(List.of(), rig.messages);
    assertFalse(rig.pin);
    rig.transfer(0);
    assertEquals(1, rig.messages.size());
    assertEquals(0, rig.ignored());
  }

  private int pending() {
    return (int) rig.bar(1, rig.config(rig.msix() + 8, 4) & ~7, 4);
  }

  @Test
  void maskedMessagesAreSentLater() {
    rig.vector(1, ADDRESS, 1);
    startWithVectors(rig);
    rig.transfer(1);
    rig.transfer(1);
    assertEquals(List.of(), rig.messages);
    assertEquals(4, pending());
    rig.setConfig(rig.msix() + 2, 2, 0xc000);
    rig.transfer(0);
    assertEquals(6, pending());
    rig.vector(2, ADDRESS + 4, 2);
    assertEquals(List.of(), rig.messages);
    rig.setConfig(rig.msix() + 3, 1, 0x80);
    assertEquals(List.of(new Message(1, ADDRESS, 1), new Message(2, ADDRESS + 4, 2)), rig.messages);
    assertEquals(0, pending());
    // Without the bus there are no messages.
    rig.setConfig(4, 2, 2);
    rig.device.config.change(() -> {});
    rig.vector(0, ADDRESS, 0);
    assertEquals(2, rig.messages.size());
    rig.setConfig(4, 2, 6);
    assertEquals(new Message(0, ADDRESS, 0), rig.messages.get(2));
    // What is pending does not outlive a reset.
    rig.setBar(1, 12, 4, 1);
    rig.device.config.change(() -> {});
    assertEquals(1, pending());
    rig.setCommon(0x14, 1, 0);
    assertEquals(0, pending());
    rig.setBar(1, 12, 4, 0);
    assertEquals(3, rig.messages.size());
  }

  @Test
  void theTableIsAccessedByWordsAndDoubleWords() {
    assertEquals(1, rig.bar(1, 12, 4));
    rig.setBar(1, 16, 8, 0x1122334455667788L);
    rig.setBar(1, 24, 8, 0xffff_ffff_0000_0007L);
    assertEquals(0x1122334455667788L, rig.bar(1, 16, 8));
    assertEquals(0x11223344L, rig.bar(1, 20, 4));
    assertEquals(0x1_0000_0007L, rig.bar(1, 24, 8));
    assertEquals(0, rig.ignored());
    rig.bar(1, 16, 2);
    rig.bar(1, 18, 4);
    rig.bar(1, 20, 8);
    rig.bar(1, -4, 4);
    rig.bar(1, 0x1000, 4);
    assertEquals(5, rig.ignored());
    rig.setBar(1, 16, 2, 0);
    rig.setBar(1, 18, 4, 0);
    rig.setBar(1, 20, 8, 0);
    rig.setBar(1, 48, 4, 0); // behind the table
    rig.setBar(1, 0x800, 4, -1); // pending bits
    rig.setBar(1, 0x1000, 4, 0);
    rig.setBar(1, -16, 4, 0);
    assertEquals(7, rig.ignored());
    assertEquals(0x1122334455667788L, rig.bar(1, 16, 8));
    assertEquals(0, rig.bar(1, 48, 4));
    rig.function.reset();
    assertEquals(0, rig.bar(1, 16, 8));
    assertEquals(1, rig.bar(1, 28, 4));
  }

  @Test
  void thereMayBeManyVectorsOrNone() {
    TestDevice device = new TestDevice(2, 1);
    try (FunctionRig many = new FunctionRig(PciOptions.defaults().withMsixVectors(2048), device)) {
      assertEquals(2047, many.config(many.msix() + 2, 2));
      assertEquals(0x8000, many.config(many.msix() + 8, 4) & ~7);
      many.vector(2047, ADDRESS, 5);
      many.setConfig(4, 2, 6);
      many.enableMsix();
      many.setCommon(0x10, 2, 2047);
      assertEquals(2047, many.common(0x10, 2));
      assertEquals(0, many.bar(1, 0x8000 + 252, 4));
    }
    PciOptions without = PciOptions.defaults().withMsixVectors(0);
    try (FunctionRig none = new FunctionRig(without)) {
      assertEquals(0, none.function.msixVectors());
      assertEquals(List.of(), none.capabilities(0x11));
      none.setCommon(0x10, 2, 0);
      assertEquals(0xffff, none.common(0x10, 2));
      assertThrows(IllegalStateException.class, () -> none.function.setMsixEnabled(true));
      none.start();
      none.transfer(0);
      assertTrue(none.pin);
    }
    try (FunctionRig bare = new FunctionRig(without.withProfile(PciProfile.LEGACY))) {
      assertEquals(0, bare.config(0x34, 1));
      assertEquals(0, bare.config(6, 2));
    }
  }

  @Test
  void theTableMayBeKeptElsewhere() {
    try (FunctionRig other = new FunctionRig(PciOptions.defaults().withExternalMsix(true))) {
      startWithVectors(other);
      other.transfer(0);
      assertEquals(List.of(new Message(1, 0, 0)), other.messages);
      other.setConfig(other.msix() + 2, 2, 0);
      other.transfer(0);
      assertTrue(other.pin);
      other.function.setMsixEnabled(true);
      assertFalse(other.pin);
      other.transfer(0);
      assertEquals(2, other.messages.size());
      other.function.reset();
      assertEquals(0, other.config(other.msix() + 2, 2) & 0xc000);
    }
  }
}
