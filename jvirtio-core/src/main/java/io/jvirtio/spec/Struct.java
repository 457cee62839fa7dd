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

  /**
   * One field.
   *
   * @param name the specification's name, nested structures joined by a dot
   * @param offset from the start of the structure, in bytes
   * @param type the type of one element
   * @param count how many elements; more than one for an array
   * @param feature the feature bit that the field depends on, or -1
   */
  public record Field(String name, int offset, Type type, int count, int feature) {
    /** Bytes that the whole field takes. */
    public int size() {
      return type.size() * count;
    }
  }

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
    for (Field f : fields) {
      if (f.name().equals(field)) {
        return f.offset();
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
    private int feature = -1;

    private Builder(String name) {
      this.name = name;
    }

    /** The fields from here on depend on this feature bit; -1 for none. */
    public Builder when(int featureBit) {
      feature = featureBit;
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

    private Builder add(String field, Type type, int count) {
      fields.add(new Field(field, offset, type, count, feature));
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
