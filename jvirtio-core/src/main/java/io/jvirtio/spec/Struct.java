// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.ArrayList;
import java.util.List;

/**
 * A structure of the specification, declared once, field by field.
 *
 * <p>The declaration feeds the code that reads and writes the structure, the inspector, the fuzzers
 * and the tables in the documentation. Immutable and thread-safe once built.
 */
public final class Struct {
  /** The specification's integer types, all little-endian except on the legacy interface. */
  public enum Type {
    U8(1),
    LE16(2),
    LE32(4),
    LE64(8);

    private final int size;

    Type(int size) {
      this.size = size;
    }

    /** Bytes. */
    public int size() {
      return size;
    }
  }

  /** How people read a field. */
  public enum Format {
    /** Unsigned decimal numbers. */
    DECIMAL,
    /** The bytes of an IEEE 802 address, as {@code 52:54:00:12:34:56}. */
    MAC,
    /** UTF-8, padded with NUL bytes where it is shorter than the field. */
    TEXT,
    /** Bytes without a fixed meaning. */
    HEX
  }

  /**
   * One field.
   *
   * @param name the specification's name, nested structures joined by a dot
   * @param offset from the start of the structure, in bytes
   * @param type the type of one element
   * @param count how many elements; more than one for an array
   * @param features the field exists with any of these feature bits; always where the set is empty
   * @param format how people read it
   */
  public record Field(
      String name, int offset, Type type, int count, FeatureBits features, Format format) {
    /** Bytes that the whole field takes. */
    public int size() {
      return type.size() * count;
    }

    /** The feature bit that the field depends on, the lowest where there are several, or -1. */
    public int feature() {
      return features.isEmpty() ? -1 : features.bits().getFirst();
    }

    /** Whether the field exists on a device that offers these features. */
    public boolean existsWith(FeatureBits offered) {
      return features.isEmpty() || !features.and(offered).isEmpty();
    }

    /** Whether the specification gives the field no meaning: it fills a gap. */
    public boolean isPadding() {
      String last = name.substring(name.lastIndexOf('.') + 1);
      return last.startsWith("unused") || last.equals("reserved") || last.equals("padding");
    }
  }

  /** A structure without a field: the configuration of a device type that has none. */
  public static final Struct EMPTY = new Struct("none", List.of(), 0);

  private final String name;
  private final List<Field> fields;
  private final int size;

  private Struct(String name, List<Field> fields, int size) {
    this.name = name;
    this.fields = List.copyOf(fields);
    this.size = size;
  }

  /** The specification's name. */
  public String name() {
    return name;
  }

  /** The fields in the order of their offsets. */
  public List<Field> fields() {
    return fields;
  }

  /** Bytes. */
  public int size() {
    return size;
  }

  /**
   * The offset of a field in bytes.
   *
   * @throws IllegalArgumentException when there is no such field
   */
  public int offset(String field) {
    return field(field).offset();
  }

  /**
   * The field of this name.
   *
   * @throws IllegalArgumentException when there is no such field
   */
  public Field field(String field) {
    for (Field f : fields) {
      if (f.name().equals(field)) {
        return f;
      }
    }
    throw new IllegalArgumentException("struct " + name + " has no field " + field);
  }

  /** Starts a declaration. */
  public static Builder named(String name) {
    return new Builder(name);
  }

  /** Collects the fields; each call adds one behind the last. Not thread-safe. */
  public static final class Builder {
    private final String name;
    private final List<Field> fields = new ArrayList<>();
    private int offset;
    private FeatureBits features = FeatureBits.NONE;

    private Builder(String name) {
      this.name = name;
    }

    /** The fields from here on depend on this feature bit; -1 for none. */
    public Builder when(int featureBit) {
      features = featureBit == -1 ? FeatureBits.NONE : FeatureBits.of(featureBit);
      return this;
    }

    /** The fields from here on exist with either of these feature bits. */
    public Builder when(int featureBit, int otherBit) {
      features = FeatureBits.of(featureBit, otherBit);
      return this;
    }

    public Builder u8(String field) {
      return add(field, Type.U8, 1);
    }

    public Builder u8(String field, int count) {
      return add(field, Type.U8, count);
    }

    public Builder le16(String field) {
      return add(field, Type.LE16, 1);
    }

    public Builder le32(String field) {
      return add(field, Type.LE32, 1);
    }

    public Builder le64(String field) {
      return add(field, Type.LE64, 1);
    }

    /** An IEEE 802 address: six bytes. */
    public Builder mac(String field) {
      return add(field, Type.U8, 6, Format.MAC);
    }

    /** UTF-8 in so many bytes, padded with NUL. */
    public Builder text(String field, int count) {
      return add(field, Type.U8, count, Format.TEXT);
    }

    /** So many bytes whose meaning other fields decide. */
    public Builder bytes(String field, int count) {
      return add(field, Type.U8, count, Format.HEX);
    }

    private Builder add(String field, Type type, int count) {
      return add(field, type, count, Format.DECIMAL);
    }

    private Builder add(String field, Type type, int count, Format format) {
      fields.add(new Field(field, offset, type, count, features, format));
      offset += type.size() * count;
      return this;
    }

    /**
     * Ends the declaration.
     *
     * @param expectedSize bytes, as the specification lays the structure out
     * @throws IllegalStateException when the fields do not add up to it
     */
    public Struct size(int expectedSize) {
      if (offset != expectedSize) {
        throw new IllegalStateException(
            "struct " + name + " takes " + offset + " bytes, not " + expectedSize);
      }
      return new Struct(name, fields, offset);
    }
  }
}
