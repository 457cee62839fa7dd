// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.Struct;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;

/**
 * The device configuration space with its generation (virtio 1.4, Basic Facilities / Device
 * Configuration Space). Thread-safe; single accesses are atomic.
 */
public final class ConfigSpace {
  /** A configuration space without a field. */
  public static final ConfigSpace EMPTY = new ConfigSpace(Struct.named("none").size(0));

  private final Struct struct;
  private final byte[] bytes;
  private final Map<String, LongConsumer> writable = new HashMap<>();
  private int generation;
  private Runnable changed = () -> {};

  /** Changes that wait for {@link #release}; null while none has to. */
  private List<Runnable> held;

  /** A configuration space of this layout, all zero. */
  public ConfigSpace(Struct struct) {
    this.struct = struct;
    this.bytes = new byte[struct.size()];
  }

  /** The layout. */
  public Struct struct() {
    return struct;
  }

  /** Bytes. */
  public int size() {
    return bytes.length;
  }

  /** Changes whenever two reads could see different versions. */
  public synchronized int generation() {
    return generation;
  }

  /**
   * Sets a field, without notification: for the time before a driver is there.
   *
   * @throws IllegalArgumentException when there is no such field or the value does not fit
   */
  public synchronized ConfigSpace set(String field, long value) {
    Struct.Field f = field(field);
    int size = f.type().size();
    if (size < 8 && (value < 0 || value >>> (8 * size) != 0)) {
      throw new IllegalArgumentException(value + " does not fit into " + field);
    }
    for (int i = 0; i < size; i++) {
      bytes[f.offset() + i] = (byte) (value >>> (8 * i));
    }
    return this;
  }

  /** Reads a field, unsigned. */
  public synchronized long get(String field) {
    Struct.Field f = field(field);
    long value = 0;
    for (int i = 0; i < f.type().size(); i++) {
      value |= (bytes[f.offset() + i] & 0xffL) << (8 * i);
    }
    return value;
  }

  /**
   * Lets the driver write a field.
   *
   * @param onWrite gets the new value, on the control thread, after it was stored
   */
  public synchronized ConfigSpace writable(String field, LongConsumer onWrite) {
    field(field);
    writable.put(field, onWrite);
    return this;
  }

  /**
   * Changes fields while a driver may be there: the generation changes, and the driver is notified.
   * While the device is suspended it must not change, so then that happens when it resumes.
   *
   * @param edits calls {@link #set}; must not block
   */
  public void change(Runnable edits) {
    Runnable notify;
    synchronized (this) {
      if (held != null) {
        held.add(edits);
        return;
      }
      edits.run();
      generation++;
      notify = changed;
    }
    notify.run();
  }

  /** The device is suspended: from here on changes wait. */
  synchronized void hold() {
    if (this != EMPTY && held == null) {
      held = new ArrayList<>();
    }
  }

  /**
   * Undoes {@link #hold}: what has waited happens now, as one change.
   *
   * @return whether there was any
   */
  boolean release() {
    Runnable notify;
    synchronized (this) {
      List<Runnable> edits = held;
      held = null;
      if (edits == null || edits.isEmpty()) {
        return false;
      }
      edits.forEach(Runnable::run);
      generation++;
      notify = changed;
    }
    notify.run();
    return true;
  }

  /** The host's hook for {@link #change}. */
  synchronized void onChange(Runnable action) {
    if (this != EMPTY) { // shared by all devices that have none: nothing in it can change
      changed = action;
    }
  }

  /**
   * Copies bytes out, as a driver's read.
   *
   * @param offset in bytes; what lies behind the end reads as zero
   */
  public synchronized void read(int offset, byte[] target) {
    for (int i = 0; i < target.length; i++) {
      int at = offset + i;
      target[i] = at >= 0 && at < bytes.length ? bytes[at] : 0;
    }
  }

  /**
   * Stores bytes, as a driver's write. It must hit exactly one writable field, whole.
   *
   * @throws PeerFault for any other write; nothing is stored then
   */
  public void write(int offset, byte[] source) throws PeerFault {
    LongConsumer action;
    long value;
    synchronized (this) {
      Struct.Field target = null;
      for (Struct.Field f : struct.fields()) {
        if (f.offset() == offset && f.size() == source.length && writable.containsKey(f.name())) {
          target = f;
        }
      }
      if (target == null) {
        throw new PeerFault(FaultReason.CONFIG_ACCESS_INVALID, offset);
      }
      System.arraycopy(source, 0, bytes, offset, source.length);
      action = writable.get(target.name());
      value = get(target.name());
    }
    action.accept(value);
  }

  private Struct.Field field(String name) {
    for (Struct.Field f : struct.fields()) {
      if (f.name().equals(name)) {
        return f;
      }
    }
    throw new IllegalArgumentException("struct " + struct.name() + " has no field " + name);
  }
}
