// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.LinuxException;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.pci.PciAccess;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * A PCI function that a vfio-user server has, for a driver in this process: {@link
 * io.jvirtio.transport.pci.PciDriverTransport} drives it as it drives a real one. This side does
 * what QEMU does for a guest: it keeps the MSI-X table, and shares memory by DMA_MAP.
 *
 * <p>The server is hostile: whatever it says is checked, each wait has a deadline, and the first
 * reply that makes no sense ends the connection.
 *
 * <p>Thread-safe.
 */
public final class VfioUserAccess implements PciAccess {
  private static final Logger LOG = System.getLogger(VfioUserAccess.class.getName());

  /** What QEMU says, but for migration. */
  private static final String CAPABILITIES =
      "{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":4096,\"pgsizes\":4096}}\0";

  private static final int DEVICE_IS_PCI = 2;
  private static final int INFO_SIZE = 16;
  private static final int REGION_INFO_SIZE = 32;
  private static final int SET_IRQS_SIZE = 20;
  private static final int NO_DATA_TRIGGER = 1 | 32;
  private static final int NO_DATA_UNMASK = 1 | 16;
  private static final int EVENTFD_TRIGGER = 4 | 32;

  private static final int BARS = 6;
  private static final int BAR = 0x10;
  private static final int STATUS = 0x06;
  private static final int STATUS_CAPABILITIES = 1 << 4;
  private static final int CAPABILITY_LIST = 0x34;
  private static final int CAPABILITY_MSIX = 0x11;
  private static final int MSIX_ENABLE = 0x8000;
  private static final int MOST_CAPABILITIES = 48;
  private static final int LEAST_CONFIG = 256;

  private final ServerLink link;
  private final SharedDma memory;
  private final long[] regionSizes = new long[VfioUserCodec.REGIONS];
  private int pins;
  private int vectors;
  private EventThread events;
  private boolean closed;

  private VfioUserAccess(ServerLink link) throws IOException {
    this.link = link;
    this.memory = new SharedDma(link);
  }

  /**
   * Connects to a server, and asks what it has.
   *
   * @param socket where it listens
   * @param deadline the longest time that connecting, and each reply, may take; positive
   * @throws LinuxException when nobody listens
   * @throws IOException when it is no server of a PCI function, or serves somebody else
   */
  public static VfioUserAccess connect(Path socket, Duration deadline) throws IOException {
    if (deadline.isNegative() || deadline.isZero()) {
      throw new IllegalArgumentException("deadline of " + deadline);
    }
    ServerLink link = ServerLink.connect(socket, deadline);
    boolean done = false;
    try {
      VfioUserAccess access = new VfioUserAccess(link);
      access.negotiate();
      done = true;
      return access;
    } finally {
      if (!done) {
        link.close();
      }
    }
  }

  private void negotiate() throws IOException {
    byte[] text = CAPABILITIES.getBytes(StandardCharsets.US_ASCII);
    byte[] version = new byte[4 + text.length]; // 0.0, then what this side can
    System.arraycopy(text, 0, version, 4, text.length);
    int major = link.call(VfioUserCommand.VERSION, version, 4).getShort() & 0xffff;
    if (major != 0) {
      throw new IOException(link + " speaks version " + major + " of the protocol, not 0");
    }
    ByteBuffer device = info(VfioUserCommand.DEVICE_GET_INFO, INFO_SIZE, 0);
    int regions = device.getInt(8);
    int irqs = device.getInt(12);
    if ((device.getInt(4) & DEVICE_IS_PCI) == 0
        || regions <= VfioUserCodec.CONFIG_REGION
        || irqs <= VfioUserCodec.IRQ_MSIX) {
      throw new IOException(
          link + " has no PCI function: " + regions + " regions, " + irqs + " types of interrupts");
    }
    for (int i = 0; i <= VfioUserCodec.CONFIG_REGION; i++) {
      regionSizes[i] =
          info(VfioUserCommand.DEVICE_GET_REGION_INFO, REGION_INFO_SIZE, i).getLong(16);
      if (regionSizes[i] < 0) {
        throw new IOException(link + ": region " + i + " has " + regionSizes[i] + " bytes");
      }
    }
    if (regionSizes[VfioUserCodec.CONFIG_REGION] < LEAST_CONFIG) {
      throw new IOException(link + " has no configuration space");
    }
    pins = info(VfioUserCommand.DEVICE_GET_IRQ_INFO, INFO_SIZE, VfioUserCodec.IRQ_INTX).getInt(12);
    vectors =
        info(VfioUserCommand.DEVICE_GET_IRQ_INFO, INFO_SIZE, VfioUserCodec.IRQ_MSIX).getInt(12);
  }

  private ByteBuffer info(VfioUserCommand command, int size, int index) throws IOException {
    byte[] payload = new byte[size];
    ByteBuffer.wrap(payload).order(ByteOrder.nativeOrder()).putInt(size).putInt(0).putInt(index);
    return link.call(command, payload, size);
  }

  @Override
  public String name() {
    return link.toString();
  }

  /** How many vectors of MSI-X the server says that there are. */
  public int msixVectors() {
    return vectors;
  }

  @Override
  public RegisterWindow config() {
    return window(VfioUserCodec.CONFIG_REGION, false);
  }

  @Override
  public RegisterWindow bar(int index) throws IOException {
    if (index < 0 || index >= BARS || regionSizes[index] == 0) {
      throw new IOException(name() + " has no BAR " + index);
    }
    boolean io = (config().read(BAR + 4L * index, 4) & 1) != 0;
    return window(index, !io);
  }

  private RegisterWindow window(int region, boolean posted) {
    long size = regionSizes[region];
    return new RegisterWindow() {
      @Override
      public long size() {
        return size;
      }

      @Override
      public long read(long offset, int width) throws IOException {
        check(offset, width);
        return link.read(region, offset, width);
      }

      @Override
      public void write(long offset, int width, long value) throws IOException {
        check(offset, width);
        link.write(region, offset, width, value, posted);
      }

      private void check(long offset, int width) throws IOException {
        if (offset < 0 || offset > size - width) {
          throw new IOException(
              String.format("%s: 0x%x is outside of region %d", name(), offset, region));
        }
      }
    };
  }

  @Override
  public DriverMemory memory() {
    return memory;
  }

  @Override
  public synchronized void enableMsix(List<Runnable> handlers) throws IOException {
    checkOpen();
    int capability = msixCapability();
    if (capability == 0 || vectors <= 0) {
      throw new IOException(name() + " has no MSI-X");
    }
    int most = Math.min(vectors, EventThread.MOST);
    if (handlers.isEmpty() || handlers.size() > most) {
      throw new IOException(name() + " has " + most + " vectors, not " + handlers.size());
    }
    disableInterrupts();
    arm(VfioUserCodec.IRQ_MSIX, new EventThread(handlers, link.fd()), handlers.size());
    long control = config().read(capability + 2, 2);
    config().write(capability + 2, 2, control | MSIX_ENABLE);
  }

  @Override
  public synchronized void enableIntx(Runnable handler) throws IOException {
    checkOpen();
    if (pins <= 0) {
      throw new IOException(name() + " has no interrupt pin");
    }
    disableInterrupts();
    // A trigger masks the pin: what is still asserted triggers again when it is unmasked.
    Runnable once =
        () -> {
          handler.run();
          try {
            setIrqs(NO_DATA_UNMASK, VfioUserCodec.IRQ_INTX, 0, 1);
          } catch (IOException e) {
            LOG.log(Level.DEBUG, "the pin stays masked", e);
          }
        };
    arm(VfioUserCodec.IRQ_INTX, new EventThread(List.of(once), link.fd()), 1);
  }

  private void arm(int type, EventThread thread, int count) throws IOException {
    events = thread;
    thread.start();
    boolean done = false;
    try {
      for (int i = 0; i < count; i++) {
        setIrqs(EVENTFD_TRIGGER, type, i, 1, thread.descriptor(i));
      }
      done = true;
    } finally {
      if (!done) {
        events = null;
        thread.close();
      }
    }
  }

  private void setIrqs(int flags, int type, int start, int count, int... fds) throws IOException {
    byte[] payload = new byte[SET_IRQS_SIZE];
    ByteBuffer.wrap(payload)
        .order(ByteOrder.nativeOrder())
        .putInt(SET_IRQS_SIZE)
        .putInt(flags)
        .putInt(type)
        .putInt(start)
        .putInt(count);
    link.call(VfioUserCommand.DEVICE_SET_IRQS, payload, 0, fds);
  }

  private int msixCapability() throws IOException {
    RegisterWindow config = config();
    if ((config.read(STATUS, 2) & STATUS_CAPABILITIES) == 0) {
      return 0;
    }
    int at = (int) config.read(CAPABILITY_LIST, 1) & 0xfc;
    for (int i = 0; i < MOST_CAPABILITIES && at >= 0x40; i++) {
      int head = (int) config.read(at, 2);
      if ((head & 0xff) == CAPABILITY_MSIX) {
        return at;
      }
      at = head >> 8 & 0xfc;
    }
    return 0;
  }

  @Override
  public synchronized void disableInterrupts() throws IOException {
    EventThread old = events;
    if (old == null) {
      return;
    }
    events = null;
    try {
      int capability = msixCapability();
      if (capability != 0) {
        long control = config().read(capability + 2, 2);
        config().write(capability + 2, 2, control & ~MSIX_ENABLE);
      }
      for (int type : new int[] {VfioUserCodec.IRQ_MSIX, VfioUserCodec.IRQ_INTX}) {
        if ((type == VfioUserCodec.IRQ_MSIX ? vectors : pins) > 0) {
          setIrqs(NO_DATA_TRIGGER, type, 0, 0);
        }
      }
    } finally {
      old.close();
    }
  }

  private void checkOpen() throws IOException {
    if (closed) {
      throw new IOException(name() + " is closed");
    }
  }

  /** {@inheritDoc} Nobody may touch the memory any more. */
  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      disableInterrupts();
    } catch (IOException e) {
      LOG.log(Level.DEBUG, name() + " goes without a word", e);
    }
    link.close();
    memory.close();
  }

  @Override
  public String toString() {
    return name();
  }
}
