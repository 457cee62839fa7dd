// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.Struct;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.RingFormat;
import io.jvirtio.testkit.ScriptedDevice;
import io.jvirtio.testkit.ScriptedDevice.Buffer;
import io.jvirtio.testkit.ScriptedTransport;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;

/** Our driver on a block device that does what the test says. */
final class ScriptedDisk implements AutoCloseable {
  /** Long enough for every machine: no test waits for it. */
  static final Duration LONG = Duration.ofMinutes(5);

  /** A request as the device sees it when it takes it. */
  record Request(int queue, Buffer buffer, byte[] sent, ByteOrder order) {
    Request(int queue, Buffer buffer, ByteOrder order) {
      this(queue, buffer, buffer.read(), order);
    }

    int type() {
      return ByteBuffer.wrap(sent).order(order).getInt(0);
    }

    int reserved() {
      return ByteBuffer.wrap(sent).order(order).getInt(4);
    }

    long sector() {
      return ByteBuffer.wrap(sent).order(order).getLong(8);
    }

    /** Device-readable data behind the header. */
    ByteBuffer data() {
      return ByteBuffer.wrap(sent).order(order).position(16).slice().order(order);
    }

    /** Bytes of device-writable data in front of the status. */
    int space() {
      return (int) buffer.writableLength() - 1;
    }
  }

  final ScriptedTransport transport = new ScriptedTransport(DeviceType.BLOCK.id());
  final ByteBuffer config = ByteBuffer.allocate(VirtioBlk.CONFIG.size());
  ByteOrder order = ByteOrder.LITTLE_ENDIAN;
  private final FeatureBits offered;
  BlkDriver driver;

  /** A modern disk of 2048 sectors that offers these features and takes 4 segments. */
  ScriptedDisk(int... features) {
    offered =
        FeatureBits.of(features)
            .with(VirtioBlk.VIRTIO_BLK_F_SEG_MAX)
            .with(ReservedFeatures.VIRTIO_F_VERSION_1);
    transport.offer(offered);
    transport.queues(64);
    set("capacity", 2048);
    set("seg_max", 4);
  }

  /** Offers rings of this format only. */
  ScriptedDisk rings(RingFormat format) {
    transport.offer(format.applyTo(offered));
    return this;
  }

  /** Sets a field of the configuration space; for {@link #start}. */
  ScriptedDisk set(String name, long value) {
    for (Struct.Field field : VirtioBlk.CONFIG.fields()) {
      if (field.name().equals(name)) {
        for (int i = 0; i < field.size(); i++) {
          int at = order == ByteOrder.LITTLE_ENDIAN ? i : field.size() - 1 - i;
          config.put(field.offset() + at, (byte) (value >>> (8 * i)));
        }
        return this;
      }
    }
    throw new IllegalArgumentException(name);
  }

  ScriptedDisk start() throws IOException {
    return start(how -> how);
  }

  ScriptedDisk start(UnaryOperator<BlkDriverOptions.Builder> how) throws IOException {
    return startWithConfig(config.capacity(), how);
  }

  /**
   * @param size how many bytes of the configuration space there are
   */
  ScriptedDisk startWithConfig(int size, UnaryOperator<BlkDriverOptions.Builder> how)
      throws IOException {
    transport.config(Arrays.copyOf(config.array(), size));
    DriverDevice device = new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run);
    BlkDriverOptions.Builder builder =
        BlkDriverOptions.builder(transport.owner()).requestTimeout(LONG);
    driver = (BlkDriver) device.start(new BlkDriverType(how.apply(builder).build()));
    return this;
  }

  InlineOwner owner() {
    return (InlineOwner) transport.owner();
  }

  /** Runs the driver; then what it has made available to the device. */
  List<Request> take() {
    transport.run();
    return taken(0);
  }

  List<Request> taken(int queue) {
    List<Request> all = new ArrayList<>();
    transport.device(queue).takeAll().forEach(b -> all.add(new Request(queue, b, order)));
    return all;
  }

  /** The one request there is. */
  Request takeOne() {
    List<Request> all = take();
    if (all.size() != 1) {
      throw new AssertionError(all.size() + " requests");
    }
    return all.getFirst();
  }

  /** Answers with data of zeroes and this status, all of it accounted for; runs the driver. */
  void answer(Request request, int status) {
    answer(request, status, request.buffer().writableLength());
  }

  /** Answers with any status and any used length; runs the driver. */
  void answer(Request request, int status, long length) {
    byte[] all = new byte[(int) request.buffer().writableLength()];
    all[all.length - 1] = (byte) status;
    request.buffer().write(all);
    device(request).use(request.buffer(), length);
    transport.run();
  }

  private ScriptedDevice device(Request request) {
    return transport.device(request.queue());
  }

  /** Answers everything, with status OK, whenever the driver notifies. */
  List<Request> answerAll() {
    List<Request> seen = new ArrayList<>();
    transport.onNotify(
        queue -> {
          for (Request request : taken(queue)) {
            seen.add(request);
            byte[] all = new byte[(int) request.buffer().writableLength()];
            request.buffer().write(all);
            device(request).use(request.buffer(), all.length);
          }
        });
    return seen;
  }

  @Override
  public void close() {
    transport.onNotify(queue -> {});
    if (driver != null) {
      driver.close();
    } else {
      transport.close();
    }
  }
}
