// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Errno;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Bytes to messages and back ("Protocol Specification"). Pure functions: every check that needs no
 * device happens here before a message has an effect.
 *
 * <pre>
 *   +0 u16 id   +2 u16 command   +4 u32 size with header
 *   +8 u32 flags (0-3 type: 0 command, 1 reply; 4 no reply; 5 error)   +12 u32 error   +16 payload
 * </pre>
 */
public final class VfioUserCodec {
  /** Bytes of a header. */
  public static final int HEADER_SIZE = 16;

  /** The most data that one message may carry, which is the protocol's default. */
  public static final int MAX_TRANSFER = 1 << 20;

  /** Bytes before the data of a read or a write. */
  public static final int ACCESS_SIZE = 16;

  /** The largest payload of any message. */
  public static final int MAX_PAYLOAD = ACCESS_SIZE + MAX_TRANSFER;

  /** The most descriptors with a message; clients take no server that allows more. */
  public static final int MAX_FDS = 16;

  /** The most bytes of capabilities. */
  public static final int MAX_VERSION_DATA = 4096;

  /** Regions of a PCI function: 6 BARs, ROM, configuration space, VGA. */
  public static final int REGIONS = 9;

  /** The region that is the configuration space. */
  public static final int CONFIG_REGION = 7;

  /** Interrupt types of a PCI function. */
  public static final int IRQ_TYPES = 5;

  /** The interrupt pin. */
  public static final int IRQ_INTX = 0;

  /** Message signalled interrupts, which a virtio function has not. */
  public static final int IRQ_MSI = 1;

  /** Vectors of MSI-X. */
  public static final int IRQ_MSIX = 2;

  /** Errors. */
  public static final int IRQ_ERROR = 3;

  /** Requests to give the device back. */
  public static final int IRQ_REQUEST = 4;

  static final int TYPE_MASK = 0xf;
  static final int TYPE_REPLY = 1;
  static final int FLAG_NO_REPLY = 1 << 4;
  static final int FLAG_ERROR = 1 << 5;

  private static final int DMA_READABLE = 1;
  private static final int DMA_WRITABLE = 2;
  private static final int UNMAP_ALL = 2;
  private static final int ONE_WRITE_SIZE = 24;
  private static final int SET_IRQS_SIZE = 20;
  private static final int INFO_SIZE = 16;
  private static final int REGION_INFO_SIZE = 32;

  /**
   * A checked header.
   *
   * @param id the sender's, for the reply
   * @param code the number of the command
   * @param command null for one that is not known
   * @param reply whether it answers a command of the server
   * @param wantsReply whether a command is to be answered
   * @param error of a reply: 0, or an error number
   * @param size bytes of the payload, 0 to {@link #MAX_PAYLOAD}
   */
  public record Header(
      int id,
      int code,
      VfioUserCommand command,
      boolean reply,
      boolean wantsReply,
      int error,
      int size) {
    @Override
    public String toString() {
      return (command == null ? "command " + code : command.name()) + (reply ? " (reply)" : "");
    }
  }

  private VfioUserCodec() {}

  /**
   * Decodes a header.
   *
   * @param bytes exactly {@link #HEADER_SIZE} bytes
   * @throws ProtocolFault when nobody can tell where the next message begins
   */
  public static Header header(ByteBuffer bytes) throws ProtocolFault {
    ByteBuffer in = bytes.duplicate().order(ByteOrder.nativeOrder());
    int id = in.getShort() & 0xffff;
    int code = in.getShort() & 0xffff;
    int size = in.getInt();
    int flags = in.getInt();
    int error = in.getInt();
    if (size < HEADER_SIZE || size > HEADER_SIZE + MAX_PAYLOAD) {
      throw new ProtocolFault(
          "command " + code + " claims " + Integer.toUnsignedString(size) + " bytes");
    }
    int type = flags & TYPE_MASK;
    if (type > TYPE_REPLY) {
      throw new ProtocolFault("message of type " + type);
    }
    boolean reply = type == TYPE_REPLY;
    if (!reply) {
      error = 0;
    } else if ((flags & FLAG_ERROR) == 0) {
      error = 0;
    } else if (error == 0) {
      error = Errno.EIO;
    }
    return new Header(
        id,
        code,
        VfioUserCommand.of(code),
        reply,
        !reply && (flags & FLAG_NO_REPLY) == 0,
        error,
        size - HEADER_SIZE);
  }

  /**
   * Decodes the payload of a command.
   *
   * @param bytes exactly as many as the header says; data of writes stays a view of it
   * @param fds how many descriptors came along
   * @throws CommandRefused when it is not what the protocol allows; nothing else is lost
   */
  public static ClientMessage payload(Header header, ByteBuffer bytes, int fds)
      throws CommandRefused {
    VfioUserCommand command = header.command();
    if (command == null) {
      throw new CommandRefused(Errno.ENOSYS, "unknown command " + header.code());
    }
    if (fds > command.maxFds()) {
      throw invalid(command + " came with " + fds + " descriptors");
    }
    ByteBuffer in = bytes.slice().order(ByteOrder.nativeOrder());
    return switch (command) {
      case VERSION -> version(in);
      case DMA_MAP -> dmaMap(in, fds == 1);
      case DMA_UNMAP -> dmaUnmap(in);
      case DEVICE_GET_INFO -> {
        info(command, in, INFO_SIZE);
        yield new ClientMessage.DeviceInfo();
      }
      case DEVICE_GET_REGION_INFO ->
          new ClientMessage.RegionInfo(index(command, info(command, in, REGION_INFO_SIZE)));
      case DEVICE_GET_REGION_IO_FDS ->
          new ClientMessage.RegionIoFds(index(command, info(command, in, INFO_SIZE)));
      case DEVICE_GET_IRQ_INFO ->
          new ClientMessage.IrqInfo(index(command, info(command, in, INFO_SIZE)));
      case DEVICE_SET_IRQS -> setIrqs(in, fds);
      case REGION_READ -> regionRead(in);
      case REGION_WRITE -> regionWrite(in);
      case REGION_WRITE_MULTI -> writeMulti(in);
      case DEVICE_RESET -> {
        exactly(command, in, 0);
        yield new ClientMessage.Reset();
      }
      case DMA_READ, DMA_WRITE -> throw invalid(command + " is not for clients to send");
      case DEVICE_FEATURE, MIG_DATA_READ, MIG_DATA_WRITE ->
          throw new CommandRefused(Errno.EOPNOTSUPP, command + " is not served");
    };
  }

  private static CommandRefused invalid(String message) {
    return new CommandRefused(Errno.EINVAL, message);
  }

  private static void exactly(VfioUserCommand command, ByteBuffer in, int size)
      throws CommandRefused {
    if (in.remaining() != size) {
      throw invalid(command + " has a payload of " + in.remaining() + " bytes");
    }
  }

  private static ClientMessage version(ByteBuffer in) throws CommandRefused {
    if (in.remaining() < 4 || in.remaining() > 4 + MAX_VERSION_DATA) {
      throw invalid("VERSION has a payload of " + in.remaining() + " bytes");
    }
    int major = in.getShort() & 0xffff;
    int minor = in.getShort() & 0xffff;
    if (!in.hasRemaining()) {
      return new ClientMessage.Version(major, minor, Capabilities.NONE);
    }
    if (in.get(in.limit() - 1) != 0) {
      throw invalid("version data does not end with NUL");
    }
    in.limit(in.limit() - 1);
    String text;
    try {
      text = StandardCharsets.UTF_8.newDecoder().decode(in).toString();
    } catch (CharacterCodingException e) {
      throw invalid("version data is no UTF-8");
    }
    return new ClientMessage.Version(major, minor, Capabilities.parse(text));
  }

  private static ClientMessage dmaMap(ByteBuffer in, boolean hasFd) throws CommandRefused {
    exactly(VfioUserCommand.DMA_MAP, in, 32);
    int argsz = in.getInt();
    int flags = in.getInt();
    long offset = in.getLong();
    long address = in.getLong();
    long size = in.getLong();
    boolean known = (flags & ~(DMA_READABLE | DMA_WRITABLE)) == 0 && flags != 0;
    if (argsz < 32
        || !known
        || size <= 0
        || wraps(address, size)
        || offset < 0
        || offset + size < 0) {
      throw invalid(
          String.format(
              "DMA_MAP of 0x%x bytes at 0x%x, offset 0x%x, flags 0x%x, argsz %d",
              size, address, offset, flags, argsz));
    }
    return new ClientMessage.DmaMap((flags & DMA_WRITABLE) != 0, offset, address, size, hasFd);
  }

  private static ClientMessage dmaUnmap(ByteBuffer in) throws CommandRefused {
    exactly(VfioUserCommand.DMA_UNMAP, in, 24);
    in.getInt();
    int flags = in.getInt();
    long address = in.getLong();
    long size = in.getLong();
    boolean all = flags == UNMAP_ALL;
    boolean fits = all ? address == 0 && size == 0 : size != 0 && !wraps(address, size);
    if ((flags & ~UNMAP_ALL) != 0 || !fits) {
      throw invalid(
          String.format("DMA_UNMAP of 0x%x bytes at 0x%x, flags 0x%x", size, address, flags));
    }
    return new ClientMessage.DmaUnmap(flags, all, address, size);
  }

  private static boolean wraps(long address, long size) {
    return Long.compareUnsigned(address + (size - 1), address) < 0;
  }

  /** A structure that is answered by itself, filled in: argsz, flags, index. */
  private static ByteBuffer info(VfioUserCommand command, ByteBuffer in, int size)
      throws CommandRefused {
    // A later version of the structure may be longer.
    if (in.remaining() < size || Integer.compareUnsigned(in.getInt(0), size) < 0) {
      throw invalid(command + " has a payload of " + in.remaining() + " bytes");
    }
    return in;
  }

  private static int index(VfioUserCommand command, ByteBuffer in) throws CommandRefused {
    int index = in.getInt(8);
    int count = command == VfioUserCommand.DEVICE_GET_IRQ_INFO ? IRQ_TYPES : REGIONS;
    if (index < 0 || index >= count) {
      throw invalid(command + " of index " + Integer.toUnsignedString(index));
    }
    return index;
  }

  private static ClientMessage setIrqs(ByteBuffer in, int fds) throws CommandRefused {
    if (in.remaining() < SET_IRQS_SIZE) {
      throw invalid("DEVICE_SET_IRQS has a payload of " + in.remaining() + " bytes");
    }
    int argsz = in.getInt();
    int flags = in.getInt();
    int index = in.getInt();
    int start = in.getInt();
    int count = in.getInt();
    ClientMessage.IrqData data =
        switch (flags & 7) {
          case 1 -> ClientMessage.IrqData.NONE;
          case 2 -> ClientMessage.IrqData.BOOL;
          case 4 -> ClientMessage.IrqData.EVENTFD;
          default -> null;
        };
    ClientMessage.IrqAction action =
        switch (flags >>> 3) {
          case 1 -> ClientMessage.IrqAction.MASK;
          case 2 -> ClientMessage.IrqAction.UNMASK;
          case 4 -> ClientMessage.IrqAction.TRIGGER;
          default -> null;
        };
    boolean ofAll = data == ClientMessage.IrqData.NONE && count == 0 && start == 0;
    int bytes = data == ClientMessage.IrqData.BOOL ? count : 0;
    if (data == null
        || action == null
        || argsz < SET_IRQS_SIZE
        || index < 0
        || index >= IRQ_TYPES
        || start < 0
        || count < 0
        || start + count < 0
        || count == 0 && !(ofAll && action == ClientMessage.IrqAction.TRIGGER)
        || in.remaining() != bytes
        || fds != 0 && (data != ClientMessage.IrqData.EVENTFD || fds != count)) {
      throw invalid(
          String.format(
              "DEVICE_SET_IRQS with flags 0x%x of type %d from %d, %d of them; %d descriptors",
              flags, index, start, count, fds));
    }
    boolean[] chosen = null;
    if (data == ClientMessage.IrqData.BOOL) {
      chosen = new boolean[count];
      for (int i = 0; i < count; i++) {
        chosen[i] = in.get() != 0;
      }
    }
    return new ClientMessage.SetIrqs(data, action, index, start, count, chosen, fds);
  }

  private static ClientMessage regionRead(ByteBuffer in) throws CommandRefused {
    exactly(VfioUserCommand.REGION_READ, in, ACCESS_SIZE);
    long offset = in.getLong();
    int region = in.getInt();
    int count = in.getInt();
    checkAccess(VfioUserCommand.REGION_READ, offset, region, count, MAX_TRANSFER);
    return new ClientMessage.RegionRead(offset, region, count);
  }

  private static ClientMessage regionWrite(ByteBuffer in) throws CommandRefused {
    if (in.remaining() < ACCESS_SIZE) {
      throw invalid("REGION_WRITE has a payload of " + in.remaining() + " bytes");
    }
    long offset = in.getLong();
    int region = in.getInt();
    int count = in.getInt();
    checkAccess(VfioUserCommand.REGION_WRITE, offset, region, count, MAX_TRANSFER);
    if (in.remaining() != count) {
      throw invalid("REGION_WRITE of " + count + " bytes has " + in.remaining());
    }
    return new ClientMessage.RegionWrite(offset, region, in.slice().order(ByteOrder.LITTLE_ENDIAN));
  }

  private static ClientMessage writeMulti(ByteBuffer in) throws CommandRefused {
    long count = in.remaining() < 8 ? -1 : in.getLong();
    if (count < 0 || count > MAX_TRANSFER || in.remaining() != count * ONE_WRITE_SIZE) {
      throw invalid("REGION_WRITE_MULTI of " + count + " writes has " + in.remaining() + " bytes");
    }
    List<ClientMessage.RegionWrite> writes = new ArrayList<>((int) count);
    for (int i = 0; i < count; i++) {
      long offset = in.getLong();
      int region = in.getInt();
      int bytes = in.getInt();
      checkAccess(VfioUserCommand.REGION_WRITE_MULTI, offset, region, bytes, 8);
      ByteBuffer data = in.slice(in.position(), bytes).order(ByteOrder.LITTLE_ENDIAN);
      in.position(in.position() + 8);
      writes.add(new ClientMessage.RegionWrite(offset, region, data));
    }
    return new ClientMessage.RegionWriteMulti(List.copyOf(writes));
  }

  private static void checkAccess(
      VfioUserCommand command, long offset, int region, int count, int max) throws CommandRefused {
    if (offset < 0 || region < 0 || region >= REGIONS || count <= 0 || count > max) {
      throw invalid(
          String.format("%s of %d bytes at 0x%x of region %d", command, count, offset, region));
    }
  }

  // --- replies and commands of the server ----------------------------------------------------

  /** A reply without its payload, which has so many bytes. */
  static ByteBuffer reply(Header to, int payload) {
    return message(to.id(), to.code(), TYPE_REPLY, 0, payload);
  }

  /** A reply that says that the command failed: a header alone. */
  static ByteBuffer refusal(Header to, int errno) {
    return message(to.id(), to.code(), TYPE_REPLY | FLAG_ERROR, errno, 0);
  }

  /** A command without its payload, which has so many bytes. */
  static ByteBuffer command(int id, VfioUserCommand command, int payload) {
    return message(id, command.id(), 0, 0, payload);
  }

  private static ByteBuffer message(int id, int code, int flags, int error, int payload) {
    return ByteBuffer.allocate(HEADER_SIZE + payload)
        .order(ByteOrder.nativeOrder())
        .putShort((short) id)
        .putShort((short) code)
        .putInt(HEADER_SIZE + payload)
        .putInt(flags)
        .putInt(error);
  }
}
