// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.Errno;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The capabilities of a side of a connection ("VFIO_USER_VERSION"), those that this server knows;
 * null for one that was not named.
 *
 * @param maxMsgFds the most descriptors in a message to that side
 * @param maxDataXferSize the most bytes of data in a message to that side
 * @param maxDmaMaps the most DMA_MAPs at a time
 * @param pgsizes of DMA_MAPs, as a mask
 * @param writeMultiple whether REGION_WRITE_MULTI is understood
 */
public record Capabilities(
    Long maxMsgFds, Long maxDataXferSize, Long maxDmaMaps, Long pgsizes, Boolean writeMultiple) {

  /** None named. */
  public static final Capabilities NONE = new Capabilities(null, null, null, null, null);

  /**
   * Reads the text of a VERSION message. What is not known is passed over.
   *
   * @throws CommandRefused when it is no JSON object, or one that is known has the wrong type
   */
  public static Capabilities parse(String text) throws CommandRefused {
    Object root = JsonParser.parse(text);
    if (!(root instanceof Map<?, ?> top)) {
      throw malformed("version data");
    }
    Object named = top.get("capabilities");
    if (named == null) {
      return NONE;
    }
    if (!(named instanceof Map<?, ?> all)) {
      throw malformed("capabilities");
    }
    return new Capabilities(
        number(all, "max_msg_fds"),
        number(all, "max_data_xfer_size"),
        number(all, "max_dma_maps"),
        number(all, "pgsizes"),
        flag(all, "write_multiple"));
  }

  private static Long number(Map<?, ?> all, String name) throws CommandRefused {
    Object value = all.get(name);
    if (value == null) {
      return null;
    }
    if (value instanceof Long number && number >= 0) {
      return number;
    }
    throw malformed(name);
  }

  private static Boolean flag(Map<?, ?> all, String name) throws CommandRefused {
    Object value = all.get(name);
    if (value == null || value instanceof Boolean) {
      return (Boolean) value;
    }
    throw malformed(name);
  }

  private static CommandRefused malformed(String what) {
    return new CommandRefused(Errno.EINVAL, "malformed " + what);
  }

  /** These, without what the other side has not named: no more may be in a reply. */
  Capabilities onlyNamedBy(Capabilities other) {
    return new Capabilities(
        other.maxMsgFds == null ? null : maxMsgFds,
        other.maxDataXferSize == null ? null : maxDataXferSize,
        other.maxDmaMaps == null ? null : maxDmaMaps,
        other.pgsizes == null ? null : pgsizes,
        other.writeMultiple == null ? null : writeMultiple);
  }

  /** The text for a VERSION message. */
  String text() {
    List<String> members = new ArrayList<>();
    add(members, "max_msg_fds", maxMsgFds);
    add(members, "max_data_xfer_size", maxDataXferSize);
    add(members, "max_dma_maps", maxDmaMaps);
    add(members, "pgsizes", pgsizes);
    add(members, "write_multiple", writeMultiple);
    // No blanks: some clients take no longer reply than their request.
    return "{\"capabilities\":{" + String.join(",", members) + "}}";
  }

  private static void add(List<String> members, String name, Object value) {
    if (value != null) {
      members.add("\"" + name + "\":" + value);
    }
  }
}
