// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.vfio.VfioUserCommand;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/** The inputs from which {@link VfioUserCodecFuzz} starts, by name. */
final class VfioCorpus {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  private VfioCorpus() {}

  private VfioCorpus message(
      VfioUserCommand command, int fds, int size, Consumer<ByteBuffer> payload) {
    ByteBuffer bytes = ByteBuffer.allocate(17 + size).order(ByteOrder.LITTLE_ENDIAN);
    bytes.put((byte) fds).putShort((short) 1).putShort((short) command.id());
    bytes.putInt(16 + size).putInt(0).putInt(0);
    payload.accept(bytes);
    out.writeBytes(bytes.array());
    return this;
  }

  static Map<String, byte[]> messages() {
    TreeMap<String, byte[]> seeds = new TreeMap<>();
    seeds.put("start", start());
    seeds.put("memory", memory());
    seeds.put("interrupts", interrupts());
    seeds.put("accesses", accesses());
    return seeds;
  }

  private static byte[] start() {
    byte[] text =
        "{\"capabilities\": {\"max_msg_fds\": 16, \"write_multiple\": true, \"x\": [1.5, \"\\n\"]}}\0"
            .getBytes(StandardCharsets.US_ASCII);
    return new VfioCorpus()
        .message(VfioUserCommand.VERSION, 0, 4 + text.length, to -> to.putInt(0).put(text))
        .message(VfioUserCommand.DEVICE_GET_INFO, 0, 16, to -> to.putInt(16))
        .message(
            VfioUserCommand.DEVICE_GET_REGION_INFO, 0, 32, to -> to.putInt(32).putInt(0).putInt(7))
        .message(
            VfioUserCommand.DEVICE_GET_REGION_IO_FDS,
            0,
            16,
            to -> to.putInt(16).putInt(0).putInt(4))
        .message(
            VfioUserCommand.DEVICE_GET_IRQ_INFO, 0, 16, to -> to.putInt(16).putInt(0).putInt(2))
        .message(VfioUserCommand.DEVICE_RESET, 0, 0, to -> {})
        .out
        .toByteArray();
  }

  private static byte[] memory() {
    return new VfioCorpus()
        .message(
            VfioUserCommand.DMA_MAP,
            1,
            32,
            to -> to.putInt(32).putInt(3).putLong(0).putLong(0x100000).putLong(0x200000))
        .message(
            VfioUserCommand.DMA_MAP,
            0,
            32,
            to -> to.putInt(32).putInt(1).putLong(0).putLong(-4096).putLong(4096))
        .message(
            VfioUserCommand.DMA_UNMAP,
            0,
            24,
            to -> to.putInt(24).putInt(0).putLong(0x100000).putLong(0x200000))
        .message(VfioUserCommand.DMA_UNMAP, 0, 24, to -> to.putInt(24).putInt(2))
        .out
        .toByteArray();
  }

  private static byte[] interrupts() {
    return new VfioCorpus()
        .message(VfioUserCommand.DEVICE_SET_IRQS, 2, 20, to -> irqs(to, 0x24, 2, 1, 2))
        .message(VfioUserCommand.DEVICE_SET_IRQS, 0, 20, to -> irqs(to, 0x21, 2, 0, 0))
        .message(VfioUserCommand.DEVICE_SET_IRQS, 0, 21, to -> irqs(to, 0x12, 0, 0, 1))
        .out
        .toByteArray();
  }

  private static void irqs(ByteBuffer to, int flags, int index, int start, int count) {
    to.putInt(20).putInt(flags).putInt(index).putInt(start).putInt(count);
  }

  private static byte[] accesses() {
    return new VfioCorpus()
        .message(VfioUserCommand.REGION_READ, 0, 16, to -> to.putLong(0x14).putInt(4).putInt(1))
        .message(
            VfioUserCommand.REGION_WRITE,
            0,
            18,
            to -> to.putLong(0x3000).putInt(4).putInt(2).putShort((short) 1))
        .message(
            VfioUserCommand.REGION_WRITE_MULTI,
            0,
            32,
            to -> to.putLong(1).putLong(4).putInt(7).putInt(2).putLong(6))
        .out
        .toByteArray();
  }
}
