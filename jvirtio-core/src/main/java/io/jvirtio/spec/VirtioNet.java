// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.List;
import java.util.Map;

/** Constants and structures of the network device (virtio 1.4, Device Types / Network Device). */
public final class VirtioNet {
  public static final int VIRTIO_NET_F_CSUM = 0;
  public static final int VIRTIO_NET_F_GUEST_CSUM = 1;
  public static final int VIRTIO_NET_F_CTRL_GUEST_OFFLOADS = 2;
  public static final int VIRTIO_NET_F_MTU = 3;
  public static final int VIRTIO_NET_F_MAC = 5;

  /** Legacy interface: any GSO type. */
  public static final int VIRTIO_NET_F_GSO = 6;

  public static final int VIRTIO_NET_F_GUEST_TSO4 = 7;
  public static final int VIRTIO_NET_F_GUEST_TSO6 = 8;
  public static final int VIRTIO_NET_F_GUEST_ECN = 9;
  public static final int VIRTIO_NET_F_GUEST_UFO = 10;
  public static final int VIRTIO_NET_F_HOST_TSO4 = 11;
  public static final int VIRTIO_NET_F_HOST_TSO6 = 12;
  public static final int VIRTIO_NET_F_HOST_ECN = 13;
  public static final int VIRTIO_NET_F_HOST_UFO = 14;
  public static final int VIRTIO_NET_F_MRG_RXBUF = 15;
  public static final int VIRTIO_NET_F_STATUS = 16;
  public static final int VIRTIO_NET_F_CTRL_VQ = 17;
  public static final int VIRTIO_NET_F_CTRL_RX = 18;
  public static final int VIRTIO_NET_F_CTRL_VLAN = 19;
  public static final int VIRTIO_NET_F_CTRL_RX_EXTRA = 20;
  public static final int VIRTIO_NET_F_GUEST_ANNOUNCE = 21;
  public static final int VIRTIO_NET_F_MQ = 22;
  public static final int VIRTIO_NET_F_CTRL_MAC_ADDR = 23;

  /** Legacy interface; the same bit as VIRTIO_F_ADMIN_VQ. */
  public static final int VIRTIO_NET_F_GUEST_RSC4 = 41;

  /** Legacy interface. */
  public static final int VIRTIO_NET_F_GUEST_RSC6 = 42;

  public static final int VIRTIO_NET_F_DEVICE_STATS = 50;
  public static final int VIRTIO_NET_F_HASH_TUNNEL = 51;
  public static final int VIRTIO_NET_F_VQ_NOTF_COAL = 52;
  public static final int VIRTIO_NET_F_NOTF_COAL = 53;
  public static final int VIRTIO_NET_F_GUEST_USO4 = 54;
  public static final int VIRTIO_NET_F_GUEST_USO6 = 55;
  public static final int VIRTIO_NET_F_HOST_USO = 56;
  public static final int VIRTIO_NET_F_HASH_REPORT = 57;
  public static final int VIRTIO_NET_F_GUEST_HDRLEN = 59;
  public static final int VIRTIO_NET_F_RSS = 60;
  public static final int VIRTIO_NET_F_RSC_EXT = 61;
  public static final int VIRTIO_NET_F_STANDBY = 62;
  public static final int VIRTIO_NET_F_SPEED_DUPLEX = 63;
  public static final int VIRTIO_NET_F_RSS_CONTEXT = 64;
  public static final int VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO = 65;
  public static final int VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM = 66;
  public static final int VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO = 67;
  public static final int VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM = 68;
  public static final int VIRTIO_NET_F_OUT_NET_HEADER = 69;
  public static final int VIRTIO_NET_F_IPSEC = 70;

  /** In status: the link is up. */
  public static final int VIRTIO_NET_S_LINK_UP = 1;

  /** In status: the driver has to send gratuitous packets. */
  public static final int VIRTIO_NET_S_ANNOUNCE = 2;

  /**
   * Device configuration layout. The field mac always exists, but holds an address only with
   * VIRTIO_NET_F_MAC.
   */
  public static final Struct CONFIG =
      Struct.named("virtio_net_config")
          .mac("mac")
          .when(VIRTIO_NET_F_STATUS)
          .le16("status")
          .when(VIRTIO_NET_F_MQ, VIRTIO_NET_F_RSS)
          .le16("max_virtqueue_pairs")
          .when(VIRTIO_NET_F_MTU)
          .le16("mtu")
          .when(VIRTIO_NET_F_SPEED_DUPLEX)
          .le32("speed")
          .u8("duplex")
          .when(VIRTIO_NET_F_RSS, VIRTIO_NET_F_HASH_REPORT)
          .u8("rss_max_key_size")
          .when(VIRTIO_NET_F_RSS)
          .le16("rss_max_indirection_table_length")
          .when(VIRTIO_NET_F_RSS, VIRTIO_NET_F_HASH_REPORT)
          .le32("supported_hash_types")
          .when(VIRTIO_NET_F_HASH_TUNNEL)
          .le32("supported_tunnel_types")
          .size(28);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_NET_F_CSUM, "VIRTIO_NET_F_CSUM"),
          Map.entry(VIRTIO_NET_F_GUEST_CSUM, "VIRTIO_NET_F_GUEST_CSUM"),
          Map.entry(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS"),
          Map.entry(VIRTIO_NET_F_MTU, "VIRTIO_NET_F_MTU"),
          Map.entry(VIRTIO_NET_F_MAC, "VIRTIO_NET_F_MAC"),
          Map.entry(VIRTIO_NET_F_GSO, "VIRTIO_NET_F_GSO"),
          Map.entry(VIRTIO_NET_F_GUEST_TSO4, "VIRTIO_NET_F_GUEST_TSO4"),
          Map.entry(VIRTIO_NET_F_GUEST_TSO6, "VIRTIO_NET_F_GUEST_TSO6"),
          Map.entry(VIRTIO_NET_F_GUEST_ECN, "VIRTIO_NET_F_GUEST_ECN"),
          Map.entry(VIRTIO_NET_F_GUEST_UFO, "VIRTIO_NET_F_GUEST_UFO"),
          Map.entry(VIRTIO_NET_F_HOST_TSO4, "VIRTIO_NET_F_HOST_TSO4"),
          Map.entry(VIRTIO_NET_F_HOST_TSO6, "VIRTIO_NET_F_HOST_TSO6"),
          Map.entry(VIRTIO_NET_F_HOST_ECN, "VIRTIO_NET_F_HOST_ECN"),
          Map.entry(VIRTIO_NET_F_HOST_UFO, "VIRTIO_NET_F_HOST_UFO"),
          Map.entry(VIRTIO_NET_F_MRG_RXBUF, "VIRTIO_NET_F_MRG_RXBUF"),
          Map.entry(VIRTIO_NET_F_STATUS, "VIRTIO_NET_F_STATUS"),
          Map.entry(VIRTIO_NET_F_CTRL_VQ, "VIRTIO_NET_F_CTRL_VQ"),
          Map.entry(VIRTIO_NET_F_CTRL_RX, "VIRTIO_NET_F_CTRL_RX"),
          Map.entry(VIRTIO_NET_F_CTRL_VLAN, "VIRTIO_NET_F_CTRL_VLAN"),
          Map.entry(VIRTIO_NET_F_CTRL_RX_EXTRA, "VIRTIO_NET_F_CTRL_RX_EXTRA"),
          Map.entry(VIRTIO_NET_F_GUEST_ANNOUNCE, "VIRTIO_NET_F_GUEST_ANNOUNCE"),
          Map.entry(VIRTIO_NET_F_MQ, "VIRTIO_NET_F_MQ"),
          Map.entry(VIRTIO_NET_F_CTRL_MAC_ADDR, "VIRTIO_NET_F_CTRL_MAC_ADDR"),
          Map.entry(VIRTIO_NET_F_GUEST_RSC4, "VIRTIO_NET_F_GUEST_RSC4"),
          Map.entry(VIRTIO_NET_F_GUEST_RSC6, "VIRTIO_NET_F_GUEST_RSC6"),
          Map.entry(VIRTIO_NET_F_DEVICE_STATS, "VIRTIO_NET_F_DEVICE_STATS"),
          Map.entry(VIRTIO_NET_F_HASH_TUNNEL, "VIRTIO_NET_F_HASH_TUNNEL"),
          Map.entry(VIRTIO_NET_F_VQ_NOTF_COAL, "VIRTIO_NET_F_VQ_NOTF_COAL"),
          Map.entry(VIRTIO_NET_F_NOTF_COAL, "VIRTIO_NET_F_NOTF_COAL"),
          Map.entry(VIRTIO_NET_F_GUEST_USO4, "VIRTIO_NET_F_GUEST_USO4"),
          Map.entry(VIRTIO_NET_F_GUEST_USO6, "VIRTIO_NET_F_GUEST_USO6"),
          Map.entry(VIRTIO_NET_F_HOST_USO, "VIRTIO_NET_F_HOST_USO"),
          Map.entry(VIRTIO_NET_F_HASH_REPORT, "VIRTIO_NET_F_HASH_REPORT"),
          Map.entry(VIRTIO_NET_F_GUEST_HDRLEN, "VIRTIO_NET_F_GUEST_HDRLEN"),
          Map.entry(VIRTIO_NET_F_RSS, "VIRTIO_NET_F_RSS"),
          Map.entry(VIRTIO_NET_F_RSC_EXT, "VIRTIO_NET_F_RSC_EXT"),
          Map.entry(VIRTIO_NET_F_STANDBY, "VIRTIO_NET_F_STANDBY"),
          Map.entry(VIRTIO_NET_F_SPEED_DUPLEX, "VIRTIO_NET_F_SPEED_DUPLEX"),
          Map.entry(VIRTIO_NET_F_RSS_CONTEXT, "VIRTIO_NET_F_RSS_CONTEXT"),
          Map.entry(VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO, "VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO"),
          Map.entry(
              VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM, "VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM"),
          Map.entry(VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO, "VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO"),
          Map.entry(VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM, "VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM"),
          Map.entry(VIRTIO_NET_F_OUT_NET_HEADER, "VIRTIO_NET_F_OUT_NET_HEADER"),
          Map.entry(VIRTIO_NET_F_IPSEC, "VIRTIO_NET_F_IPSEC"));

  /** Which offered feature needs which other (Feature bits / Feature bit requirements). */
  public static final List<FeatureRequirement> REQUIREMENTS =
      List.of(
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_CSUM),
          FeatureRequirement.of(
              VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_GUEST_CSUM),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_CSUM),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_GUEST_CSUM),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO, VIRTIO_NET_F_GUEST_TSO4),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO, VIRTIO_NET_F_GUEST_TSO6),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO, VIRTIO_NET_F_GUEST_USO4),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO, VIRTIO_NET_F_GUEST_USO6),
          FeatureRequirement.of(
              VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM, VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO),
          FeatureRequirement.of(VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM),
          FeatureRequirement.of(VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM),
          FeatureRequirement.of(
              VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6),
          FeatureRequirement.of(VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_CSUM),
          FeatureRequirement.of(VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_CSUM),
          FeatureRequirement.of(VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO, VIRTIO_NET_F_HOST_TSO4),
          FeatureRequirement.of(VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO, VIRTIO_NET_F_HOST_TSO6),
          FeatureRequirement.of(VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO, VIRTIO_NET_F_HOST_USO),
          FeatureRequirement.of(
              VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM, VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO),
          FeatureRequirement.of(VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(VIRTIO_NET_F_NOTF_COAL, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(
              VIRTIO_NET_F_RSC_EXT, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6),
          FeatureRequirement.of(VIRTIO_NET_F_RSS, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(VIRTIO_NET_F_VQ_NOTF_COAL, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(VIRTIO_NET_F_HASH_TUNNEL, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(
              VIRTIO_NET_F_HASH_TUNNEL, VIRTIO_NET_F_RSS, VIRTIO_NET_F_HASH_REPORT),
          FeatureRequirement.of(VIRTIO_NET_F_RSS_CONTEXT, VIRTIO_NET_F_CTRL_VQ),
          FeatureRequirement.of(VIRTIO_NET_F_RSS_CONTEXT, VIRTIO_NET_F_RSS));

  private VirtioNet() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
