// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code probe}, with real devices and with such that do not behave. */
@Timeout(60)
class ProbeTest {
  private static final long VERSION_1 = 1L << 32;

  @TempDir private Path folder;

  private static CommandRun probe(Path socket, String... options) {
    String[] args = new String[options.length + 2];
    args[0] = "probe";
    args[1] = "--socket-path=" + socket;
    System.arraycopy(options, 0, args, 2, options.length);
    return CommandRun.of(args);
  }

  private Path socket() {
    return folder.resolve("s");
  }

  private ServedDisk disk() throws IOException {
    return new ServedDisk(socket(), ServedDisk.sized(folder.resolve("disk.img"), 3 << 20));
  }

  @Test
  void infersADiskAndDecodesIt() throws IOException {
    try (ServedDisk disk = disk()) {
      probe(disk.path)
          .assertOk()
          .assertPrints(
              "blk (device id 2), inferred with high confidence",
              "because: offers VIRTIO_BLK_F_SIZE_MAX",
              "queues             2\n",
              "  30  VHOST_USER_F_PROTOCOL_FEATURES\n",
              "  32  VIRTIO_F_VERSION_1\n",
              "   9  CONFIG\n",
              "capacity                       6144 sectors (3 MiB)");
      // Twice: the device is as it was.
      probe(disk.path, "--device=virtio-blk")
          .assertOk()
          .assertPrints("blk (device id 2), as given");
    }
  }

  @Test
  void jsonHasStableKeys() throws IOException {
    try (ServedDisk disk = disk()) {
      CommandRun run = probe(disk.path, "--json").assertOk();
      assertEquals(1, run.out().lines().count());
      run.assertPrints(
          "{\"socketPath\":\"" + disk.path + "\"",
          "\"device\":{\"id\":2,\"name\":\"blk\",\"inferred\":true,\"confidence\":\"high\",",
          "\"runnersUp\":[",
          "\"queues\":2,\"memorySlots\":509,",
          "\"features\":[{\"bit\":1,\"name\":\"VIRTIO_BLK_F_SIZE_MAX\"},",
          "\"protocolFeatures\":[{\"bit\":0,\"name\":\"MQ\"},",
          "\"config\":{\"hex\":\"0018000000000000",
          "\"fields\":{\"capacity\":6144,");
      assertFalse(run.out().contains("unused"), run.out());
      probe(disk.path, "--json", "--device=2")
          .assertOk()
          .assertPrints("\"device\":{\"id\":2,\"name\":\"blk\",\"inferred\":false}");
    }
  }

  @Test
  void aBackEndWithoutProtocolFeaturesIsAskedForFeaturesOnly() throws IOException {
    try (ScriptedBackEnd end =
        new ScriptedBackEnd(socket(), VERSION_1 | 1L << 9 | 1L << 45, 0, 0)) {
      probe(end.path, "--device=blk")
          .assertOk()
          .assertPrints(
              "   9  VIRTIO_BLK_F_FLUSH",
              "  45  (not in the specification)",
              "the back-end does not say",
              "protocol features  none",
              "cannot be read (no CONFIG)");
      // GET_FEATURES and SET_OWNER.
      assertTrue(List.of(1, 3).containsAll(end.asked), end.asked.toString());
    }
  }

  @Test
  void unknownTypeAndLegacyDevice() throws IOException {
    try (ScriptedBackEnd end = new ScriptedBackEnd(socket(), 0, 0, 0)) {
      CommandRun run = probe(end.path, "--json").assertOk();
      run.assertPrints(
          "\"queues\":null,\"memorySlots\":null,\"features\":[],\"protocolFeatures\":[],"
              + "\"config\":null}");
    }
  }

  @Test
  void aDeviceWithoutVersion1IsShown() throws IOException {
    try (ScriptedBackEnd end = new ScriptedBackEnd(socket(), 1L << 9, 0, 0)) {
      probe(end.path, "--device=blk").assertOk().assertPrints("no VIRTIO_F_VERSION_1");
    }
  }

  @Test
  void noSuchSocket() {
    probe(socket()).assertFails(1, "there is no socket", "start a device there first");
  }

  @Test
  void noSocketButAFile() throws IOException {
    ServedDisk.sized(socket(), 1);
    probe(socket()).assertFails(1, "is not a socket");
  }

  @Test
  void nobodyListens() throws IOException {
    try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      server.bind(UnixDomainSocketAddress.of(socket()));
    }
    probe(socket()).assertFails(1, "nobody listens on", "start it again");
  }

  @Test
  void pathTooLong() {
    CommandRun.of("probe", "--socket-path=" + folder.resolve("s".repeat(108)))
        .assertFails(1, "too long", "107");
  }

  @Test
  void neverAnswers() throws IOException {
    try (ScriptedBackEnd end = new ScriptedBackEnd(socket(), 0, 1, 0)) {
      probe(end.path, "--timeout=0.2")
          .assertFails(1, "does not answer GET_FEATURES for 200 ms", "another front-end");
    }
  }

  @Test
  void closesInMidNegotiation() throws IOException {
    long protocolFeatures = 1L << 30;
    try (ScriptedBackEnd end = new ScriptedBackEnd(socket(), VERSION_1 | protocolFeatures, 0, 2)) {
      probe(end.path)
          .assertFails(1, "closed the connection while GET_PROTOCOL_FEATURES was pending");
    }
  }
}
