// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.Struct;
import java.io.IOException;
import java.util.Arrays;
import java.util.function.Supplier;

/**
 * The device configuration space as a driver reads it, by field (virtio 1.4, Device Configuration
 * Space).
 *
 * <p>What one call reads belongs together: it is read again when the generation changed meanwhile;
 * where the transport has no generation, as on the legacy interface, until two reads agree. A field
 * behind features that the device lacks is refused; before features are final that means offered,
 * and afterwards negotiated. The space may be larger than the structure, or smaller where the last
 * fields are not needed. Any thread but a queue's owner.
 */
public final class DriverConfig {
  /** How often a read is repeated before the device is not believed any more. */
  static final int MAX_TRIES = 100;

  /** What the fields depend on, at this moment. */
  interface Session {
    /** The features that decide which fields there are. */
    FeatureBits features();

    /** Throws {@link IllegalStateException} when the driver must not write now. */
    void checkWritable();
  }

  private final DriverTransport transport;
  private final Struct struct;
  private final Session session;
  private final ControlTurn turn;

  DriverConfig(DriverTransport transport, Struct struct, Session session, ControlTurn turn) {
    this.transport = transport;
    this.struct = struct;
    this.session = session;
    this.turn = turn;
  }

  /**
   * For a tool that looks at a device which nobody drives. Only one thread may use the transport.
   *
   * @param features what the device offers
   */
  public static DriverConfig of(
      DriverTransport transport, Struct struct, Supplier<FeatureBits> features) {
    Session session =
        new Session() {
          @Override
          public FeatureBits features() {
            return features.get();
          }

          @Override
          public void checkWritable() {
            throw new IllegalStateException("nobody drives " + transport.busName());
          }
        };
    return new DriverConfig(transport, struct, session, new ControlTurn(transport.busName()));
  }

  /** The layout. */
  public Struct struct() {
    return struct;
  }

  /**
   * Whether a field is there: its feature is, and the space is large enough.
   *
   * @throws IllegalArgumentException when the structure has no such field
   */
  public boolean has(String field) throws IOException {
    Struct.Field f = field(field);
    if (!f.existsWith(session.features())) {
      return false;
    }
    try (ControlTurn _ = turn.take()) {
      return f.offset() + f.size() <= transport.configSize();
    }
  }

  /**
   * Reads a field, unsigned.
   *
   * @throws IllegalArgumentException when there is no such field, or it is an array
   * @throws IllegalStateException when it depends on a feature that the device lacks
   * @throws IOException when the device fails, when its configuration space ends before the field,
   *     or when it does not come to rest
   */
  public long get(String field) throws IOException {
    return getAll(field)[0];
  }

  /**
   * Reads several fields of one version of the configuration; as {@link #get} otherwise.
   *
   * @return the values in the order of the names
   */
  public long[] getAll(String... fields) throws IOException {
    Struct.Field[] wanted = new Struct.Field[fields.length];
    for (int i = 0; i < fields.length; i++) {
      wanted[i] = scalar(readable(fields[i]));
    }
    byte[][] raw = readFields(wanted);
    long[] values = new long[raw.length];
    for (int i = 0; i < raw.length; i++) {
      values[i] = decode(raw[i]);
    }
    return values;
  }

  /**
   * Reads an array of bytes, such as an address; as {@link #get} otherwise.
   *
   * @throws IllegalArgumentException when there is no such field, or it is not made of bytes
   */
  public byte[] getArray(String field) throws IOException {
    Struct.Field f = readable(field);
    if (f.type() != Struct.Type.U8) {
      throw new IllegalArgumentException(field + " is no array of bytes");
    }
    return readFields(f)[0];
  }

  /**
   * Reads a piece of the space as it lies there, in one access for the transport.
   *
   * @param offset in bytes, 0 or more
   * @param size in bytes, 0 or more
   * @throws IOException when the device fails, when its configuration space is too small, or when
   *     it does not come to rest
   */
  public byte[] read(int offset, int size) throws IOException {
    if (offset < 0 || size < 0) {
      throw new IllegalArgumentException(size + " bytes at " + offset);
    }
    try (ControlTurn _ = turn.take()) {
      if ((long) offset + size > transport.configSize()) {
        throw tooSmall(size + " bytes at " + offset);
      }
      return settled(
          () -> {
            byte[] bytes = new byte[size];
            transport.readConfig(offset, bytes);
            return new byte[][] {bytes};
          },
          size + " bytes at " + offset)[0];
    }
  }

  /**
   * Writes a field. Whether that has an effect is the device's choice.
   *
   * @throws IllegalArgumentException when there is no such field, it is an array, or the value does
   *     not fit
   * @throws IllegalStateException when it depends on a feature that was not negotiated, or features
   *     are not final yet: the driver must not write before (virtio 1.4, Device Initialization)
   * @throws IOException when the device fails or its configuration space ends before the field
   */
  public void set(String field, long value) throws IOException {
    session.checkWritable();
    Struct.Field f = scalar(readable(field));
    int size = f.size();
    if (size < 8 && (value < 0 || value >>> (8 * size) != 0)) {
      throw new IllegalArgumentException(value + " does not fit into " + field);
    }
    byte[] bytes = new byte[size];
    for (int i = 0; i < size; i++) {
      bytes[bigEndian() ? size - 1 - i : i] = (byte) (value >>> (8 * i));
    }
    try (ControlTurn _ = turn.take()) {
      // Whoever had the turn until now may have suspended the device.
      session.checkWritable();
      checkSize(f);
      transport.writeConfig(f.offset(), bytes);
    }
  }

  private interface Read {
    byte[][] run() throws IOException;
  }

  private byte[][] readFields(Struct.Field... fields) throws IOException {
    try (ControlTurn _ = turn.take()) {
      for (Struct.Field f : fields) {
        checkSize(f);
      }
      // Each field by an access of its own: registers want to be read in the field's width.
      return settled(
          () -> {
            byte[][] all = new byte[fields.length][];
            for (int i = 0; i < fields.length; i++) {
              all[i] = new byte[fields[i].size()];
              transport.readConfig(fields[i].offset(), all[i]);
            }
            return all;
          },
          fields.length == 1 ? fields[0].name() : "several fields");
    }
  }

  private byte[][] settled(Read read, String what) throws IOException {
    byte[][] last = null;
    for (int i = 0; i < MAX_TRIES; i++) {
      int before = transport.configGeneration();
      byte[][] now = read.run();
      int after = transport.configGeneration();
      boolean generations = before != -1 && after != -1;
      if (generations ? before == after : Arrays.deepEquals(last, now)) {
        return now;
      }
      last = now;
    }
    throw new IOException(
        "the configuration of "
            + transport.busName()
            + " kept changing while "
            + what
            + " was read "
            + MAX_TRIES
            + " times");
  }

  private long decode(byte[] bytes) {
    boolean big = bigEndian();
    long value = 0;
    for (int i = 0; i < bytes.length; i++) {
      value |= (bytes[big ? bytes.length - 1 - i : i] & 0xffL) << (8 * i);
    }
    return value;
  }

  private boolean bigEndian() {
    return transport.isLegacy() && transport.isBigEndian();
  }

  private Struct.Field readable(String name) {
    Struct.Field f = field(name);
    if (!f.existsWith(session.features())) {
      throw new IllegalStateException(
          name
              + " of "
              + transport.busName()
              + " depends on "
              + FeatureChoice.names(transport.deviceId(), f.features())
              + ", which the device does not have");
    }
    return f;
  }

  private static Struct.Field scalar(Struct.Field f) {
    if (f.count() != 1) {
      throw new IllegalArgumentException(f.name() + " is an array");
    }
    return f;
  }

  private Struct.Field field(String name) {
    for (Struct.Field f : struct.fields()) {
      if (f.name().equals(name)) {
        return f;
      }
    }
    throw new IllegalArgumentException("struct " + struct.name() + " has no field " + name);
  }

  private void checkSize(Struct.Field f) throws IOException {
    if (f.offset() + f.size() > transport.configSize()) {
      throw tooSmall(f.name());
    }
  }

  private IOException tooSmall(String what) throws IOException {
    return new IOException(
        "the configuration space of "
            + transport.busName()
            + " ends after "
            + transport.configSize()
            + " bytes, before "
            + what);
  }
}
