// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_EVENT_IDX;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_INDIRECT_DESC;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_IN_ORDER;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_RING_PACKED;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_RING_RESET;
import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_VERSION_1;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_FLUSH;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_MQ;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_RO;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.driver.NegotiationException;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.VirtioNet;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Which features a driver accepts. */
class DriverFeaturesTest extends ScriptedBlockDevice {
  private static final String FEATURES = "Feature Bits";

  @Test
  @Requirement(
      section = FEATURES,
      text =
          "The driver MUST NOT accept a feature which the device did not offer, and MUST NOT accept"
              + " a feature which requires another feature which was not accepted.")
  void nothingIsAcceptedThatWasNotOfferedOrMissesAnother() throws IOException {
    try (ScriptedTransport net = new ScriptedTransport(DeviceType.NETWORK.id())) {
      net.offer(
          modern(
              VirtioNet.VIRTIO_NET_F_CSUM,
              VirtioNet.VIRTIO_NET_F_HOST_TSO4,
              VirtioNet.VIRTIO_NET_F_HOST_ECN,
              VirtioNet.VIRTIO_NET_F_GUEST_TSO4));
      TestDriverType driver =
          new TestDriverType("net", null)
              .understands(
                  VirtioNet.VIRTIO_NET_F_MAC,
                  VirtioNet.VIRTIO_NET_F_CSUM,
                  VirtioNet.VIRTIO_NET_F_HOST_TSO4,
                  VirtioNet.VIRTIO_NET_F_HOST_ECN,
                  VirtioNet.VIRTIO_NET_F_GUEST_TSO4);
      DriverDevice all = new DriverDevice(net, DriverDevice.ringFeatures(), Runnable::run);
      all.start(driver);
      assertEquals(
          modern(
              VirtioNet.VIRTIO_NET_F_CSUM,
              VirtioNet.VIRTIO_NET_F_HOST_TSO4,
              VirtioNet.VIRTIO_NET_F_HOST_ECN),
          net.acceptedFeatures(),
          "GUEST_TSO4 needs GUEST_CSUM, MAC was not offered");
      all.stop();
      driver.in("validate", d -> d.clearFeature(VirtioNet.VIRTIO_NET_F_CSUM));
      all.start(driver);
      assertEquals(modern(), net.acceptedFeatures(), "ECN needs TSO4, which needs CSUM");
      all.close();
    }
  }

  @Test
  @Requirement(
      section = FEATURES,
      text =
          "The driver MUST validate the feature bits offered by the device. The driver MUST ignore"
              + " and MUST NOT accept any feature bit that is not described in this specification,"
              + " marked as reserved, not supported for the specific transport, or not defined for"
              + " the device type.")
  @Requirement(
      section = FEATURES,
      text =
          "By contrast, the driver MUST NOT fail solely because a feature it does not understand"
              + " has been offered by the device.")
  @Requirement(
      section = "Reserved Feature Bits",
      text =
          "A driver MUST NOT negotiate VIRTIO_F_SR_IOV if the device does not have a PCI SR-IOV"
              + " capability structure or is not a PCI device.")
  @Requirement(
      section = "Reserved Feature Bits",
      text = "A driver SHOULD accept VIRTIO_F_RING_PACKED if it is offered.")
  @Requirement(
      section = "Reserved Feature Bits",
      text = "A driver SHOULD accept VIRTIO_F_ORDER_PLATFORM if it is offered.")
  @Requirement(
      section = "Reserved Feature Bits",
      text = "A driver SHOULD accept VIRTIO_F_NOTIF_CONFIG_DATA if it is offered.")
  void unknownAndReservedFeaturesAreIgnored() throws IOException {
    transport.offer(new FeatureBits(-1, -1));
    type.understands(VIRTIO_BLK_F_FLUSH, 100);
    device().start(type);
    assertEquals(
        modern(
            VIRTIO_BLK_F_FLUSH,
            VIRTIO_F_INDIRECT_DESC,
            VIRTIO_F_EVENT_IDX,
            VIRTIO_F_RING_PACKED,
            VIRTIO_F_IN_ORDER,
            VIRTIO_F_RING_RESET,
            ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM,
            ReservedFeatures.VIRTIO_F_ORDER_PLATFORM,
            ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
            ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
            ReservedFeatures.VIRTIO_F_SUSPEND),
        transport.acceptedFeatures(),
        "not bit 100, which no block device has");
    assertEquals(new FeatureBits(-1, -1), device.offeredFeatures());
  }

  @Test
  void whatTheTransportDoesNotCarryIsNotAccepted() throws IOException {
    FeatureBits carried =
        FeatureBits.of(
            ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA,
            ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA,
            ReservedFeatures.VIRTIO_F_SUSPEND);
    transport.offer(modern(VIRTIO_F_EVENT_IDX).or(carried)).carry(FeatureBits.NONE);
    device().start(type);
    assertEquals(modern(VIRTIO_F_EVENT_IDX), transport.acceptedFeatures());
    for (int bit : carried.bits()) {
      device.stop();
      transport.carry(FeatureBits.of(bit));
      device.start(type);
      assertEquals(modern(VIRTIO_F_EVENT_IDX, bit), transport.acceptedFeatures());
    }
  }

  @Test
  @Requirement(
      section = "Reserved Feature Bits",
      text =
          "A driver SHOULD accept VIRTIO_F_ACCESS_PLATFORM if it is offered, and it MUST then"
              + " either disable the IOMMU or configure the IOMMU to translate bus addresses passed"
              + " to the device into physical addresses in memory.")
  void addressesAreThoseThatTheTransportHasMapped() throws IOException, PeerFault {
    transport.offer(modern(ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM));
    device().start(type);
    assertTrue(device.hasFeature(ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM));
    type.last.send("a");
    // Bus addresses by their translation: the memory is found by them, and at another place.
    ScriptedDevice.Element element = transport.device(0).take().elements().getFirst();
    DriverMemory.Region region =
        transport.memory().regions().stream()
            .filter(r -> element.address() - r.deviceAddress() >= 0)
            .filter(r -> element.address() - r.deviceAddress() < r.segment().byteSize())
            .findFirst()
            .orElseThrow();
    assertNotEquals(region.deviceAddress(), region.segment().address());
    DriverBuffer buffer = new DriverBuffer(transport.memory(), 1);
    assertThrows(
        IllegalArgumentException.class,
        () -> buffer.writable(Arena.ofAuto().allocate(16)),
        "memory that nobody has mapped for the device");
  }

  @Test
  @Requirement(
      section = FEATURES,
      text =
          "The driver SHOULD go into backwards compatibility mode if the device does not offer a"
              + " feature it understands, otherwise MUST set the FAILED device status bit and cease"
              + " initialization.")
  void missingFeaturesThatAreNeededAreNamed() throws IOException {
    transport.offer(modern(VIRTIO_BLK_F_RO));
    type.understands(VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_RO)
        .needs(VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_MQ);
    NegotiationException e = assertThrows(NegotiationException.class, () -> device().start(type));
    assertTrue(e.getMessage().contains("VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_MQ"), e.getMessage());
    assertFalse(e.getMessage().contains("VIRTIO_BLK_F_RO"), e.getMessage());
    assertTrue(e.getMessage().contains(transport.busName()), e.getMessage());
    assertEquals("ACKNOWLEDGE|DRIVER|FAILED", statuses().getLast());
    assertTrue(transport.calls().stream().noneMatch(c -> c.startsWith("writeDriverFeatures")));

    type.needs();
    device.start(type);
    assertEquals(modern(VIRTIO_BLK_F_RO), device.features(), "works with less");
  }

  @Test
  void whatValidateGivesUpMustNotBeNeeded() {
    transport.offer(modern(VIRTIO_BLK_F_FLUSH));
    type.understands(VIRTIO_BLK_F_FLUSH)
        .needs(VIRTIO_BLK_F_FLUSH)
        .in("validate", d -> d.clearFeature(VIRTIO_BLK_F_FLUSH));
    NegotiationException e = assertThrows(NegotiationException.class, () -> device().start(type));
    assertTrue(e.getMessage().contains("VIRTIO_BLK_F_FLUSH"), e.getMessage());
  }

  @Test
  void refusedFeaturesAreNamed() {
    transport.offer(modern(VIRTIO_BLK_F_FLUSH)).refuseFeatures(true);
    type.understands(VIRTIO_BLK_F_FLUSH);
    NegotiationException e = assertThrows(NegotiationException.class, () -> device().start(type));
    assertTrue(e.getMessage().contains("VIRTIO_BLK_F_FLUSH, VIRTIO_F_VERSION_1"), e.getMessage());
    assertEquals("ACKNOWLEDGE|DRIVER|FAILED", statuses().getLast());
    assertEquals(List.of("validate"), type.events, "the device is unusable");
    assertEquals(State.FAILED, device.state());
  }

  @Test
  @Requirement(
      section = "Reserved Feature Bits",
      text = "A driver MUST accept VIRTIO_F_VERSION_1 if it is offered.")
  void version1IsAlwaysAccepted() throws IOException {
    type.in(
        "validate",
        d ->
            assertThrows(IllegalArgumentException.class, () -> d.clearFeature(VIRTIO_F_VERSION_1)));
    device(FeatureBits.NONE).start(type);
    assertEquals(modern(), transport.acceptedFeatures());
  }

  @Test
  @Requirement(
      section = "Feature Bits / Legacy Interface: A Note on Feature Bits",
      text =
          "Transitional Drivers MUST detect Legacy Devices by detecting that the feature bit"
              + " VIRTIO_F_VERSION_1 is not offered.")
  void aModernDeviceWithoutVersion1IsAnError() {
    transport.offer(FeatureBits.of(VIRTIO_F_EVENT_IDX));
    NegotiationException e = assertThrows(NegotiationException.class, () -> device().start(type));
    assertTrue(
        e.getMessage()
            .startsWith("the device at " + transport.busName() + " does not offer VIRTIO_F_VERS"),
        e.getMessage());
  }

  @Test
  @Requirement(
      section = "Reserved Feature Bits / Legacy Interface: Reserved Feature Bits",
      text =
          "Transitional devices MUST offer, and if offered by the device transitional drivers MUST"
              + " accept the following: VIRTIO_F_ANY_LAYOUT (27)")
  void anyLayoutIsAcceptedOfALegacyDevice() throws IOException {
    int unused = 30;
    transport
        .legacy(ByteOrder.LITTLE_ENDIAN)
        .offer(FeatureBits.of(ReservedFeatures.VIRTIO_F_ANY_LAYOUT, unused));
    try (DriverDevice device = device(FeatureBits.NONE)) {
      device.start(type);
      assertEquals(
          FeatureBits.of(ReservedFeatures.VIRTIO_F_ANY_LAYOUT), transport.acceptedFeatures());
    }
  }

  @Test
  void theUserCanForbidRingFeatures() throws IOException {
    transport.offer(modern(VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC));
    device(FeatureBits.of(VIRTIO_F_EVENT_IDX, ReservedFeatures.VIRTIO_F_RING_PACKED)).start(type);
    assertEquals(modern(VIRTIO_F_EVENT_IDX), transport.acceptedFeatures());
  }

  @ParameterizedTest
  @ValueSource(ints = {24, 28, 32, 40, 41, 43, 49})
  void aDriverTypeThatClaimsReservedFeaturesIsAMistake(int bit) {
    type.understands(bit);
    assertThrows(IllegalArgumentException.class, () -> device().start(type));
    assertEquals(List.of(), transport.calls());
  }
}
