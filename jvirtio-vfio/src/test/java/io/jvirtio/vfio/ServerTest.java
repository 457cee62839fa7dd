// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.LoopMode;
import io.jvirtio.testkit.EchoDevice;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ServerTest {
  @TempDir Path directory;

  @Test
  void stopEndsTheWaitForAClient() throws Exception {
    try (Served served = new Served(directory)) {
      served.server.stop();
      served.join();
    }
  }

  @Test
  void stopEndsTheWaitForAMessage() throws Exception {
    try (Served served = new Served(directory);
        Client client = served.connect()) {
      client.start().echo("running");
      served.server.stop();
      served.join();
      client.expectEnd();
    }
  }

  @Test
  void stopEndsTheWaitForTheRestOfAMessage() throws Exception {
    try (Served served = new Served(directory);
        Client client = served.connect()) {
      client.negotiate();
      client.raw(Client.header(1, VfioUserCommand.DMA_MAP.id(), 48, 0));
      served.server.stop();
      served.join();
      client.expectEnd();
    }
  }

  @Test
  void oneShotServesOneClient() throws Exception {
    VfioUserOptions once = Served.options().withOneShot(true);
    try (Served served = new Served(directory, PciOptions.defaults(), once)) {
      served.serveOneMore();
      served.join();
    }
  }

  @ParameterizedTest
  @EnumSource(LoopMode.class)
  void everyModeServesManyClients(LoopMode mode) throws IOException {
    List<String> none = Await.descriptors();
    VfioUserOptions options = Served.options().withMode(mode).withWorkers(1);
    try (Served served = new Served(directory, PciOptions.defaults(), options)) {
      List<String> before = served.warmUp();
      for (int i = 0; i < 10; i++) {
        served.serveOneMore();
      }
      Await.descriptors(before);
      VfioUserStats stats = served.server.stats();
      assertEquals(11, stats.sessions());
      assertEquals(0, stats.protocolFaults());
      assertEquals(0, stats.refused());
      assertEquals(0, stats.faults());
      assertEquals(11, stats.chains());
      assertTrue(stats.interrupts() >= 11);
      assertTrue(stats.commands() > stats.accesses());
      assertEquals(1L << 32, stats.negotiated().low());
    }
    Await.descriptors(none);
  }

  @Test
  void theNextClientFindsADeviceAfterReset() throws IOException {
    try (Served served = new Served(directory)) {
      try (Client client = served.connect()) {
        client.start().echo("first");
      }
      try (Client client = served.connect()) {
        client.negotiate();
        assertEquals(0, client.read(Client.BAR, 0x14, 1));
        assertEquals(0, client.read(Client.CONFIG, 4, 2) & 4);
      }
    }
  }

  @Test
  void aLegacyFunctionWithoutMsix() throws IOException {
    PciOptions legacy = PciOptions.defaults().withProfile(PciProfile.LEGACY).withMsixVectors(0);
    try (Served served = new Served(directory, legacy, Served.options());
        Client client = served.connect()) {
      client.negotiate();
      ByteBuffer vectors =
          client.call(VfioUserCommand.DEVICE_GET_IRQ_INFO, Client.info(16, VfioUserCodec.IRQ_MSIX));
      assertEquals(0, vectors.getInt(12));
      ByteBuffer bar = client.call(VfioUserCommand.DEVICE_GET_REGION_INFO, Client.info(32, 0));
      assertEquals(3, bar.getInt(4));
      assertEquals(1, client.read(Client.CONFIG, 0x10, 4) & 1);
    }
  }

  @Test
  void withoutAWorkerNothingRuns() {
    assertThrows(IllegalArgumentException.class, () -> Served.options().withWorkers(0));
  }

  @Test
  void aFunctionThatCannotBeLeavesNothingBehind() throws IOException {
    List<String> none = Await.descriptors();
    PciOptions few = PciOptions.defaults().withNotifyMultiplier(1 << 16);
    EchoDevice device =
        new EchoDevice() {
          @Override
          public int queueCount() {
            return 1 << 17;
          }
        };
    assertThrows(RuntimeException.class, () -> new VfioUserServer(device, few, Served.options()));
    Await.descriptors(none);
  }
}
