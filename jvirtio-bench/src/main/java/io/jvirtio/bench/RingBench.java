// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import io.jvirtio.linux.CpuAffinity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Both ends of the ring, split and packed, Java against the same algorithm in C: block requests of
 * three elements, driver and device in one thread or each in its own, alternating, each measurement
 * in a process of its own that is bound to the same processors.
 */
public final class RingBench {
  private static final String USAGE =
      """
      usage: scripts/bench ring [--rounds=5] [--seconds=1] [--batch=32] [--threads=1,2] [--json=FILE]
      """;

  private static final int JAVA_WARMUP = 3000;
  private static final int C_WARMUP = 200;
  private static final Pattern NS = Pattern.compile("\"ns\": ([0-9.]+), \"indirect\": ([0-9.]+)");

  private final List<RingCase> cases = new ArrayList<>();
  private final List<Integer> cpus;
  private Path twin;
  private Path json;
  private int rounds = 5;
  private int seconds = 1;
  private int batch = 32;
  private List<String> threads = List.of("1", "2");

  private RingBench(String[] args) throws IOException {
    cpus = CpuAffinity.allowed();
    for (String arg : args) {
      int equals = arg.indexOf('=');
      String value = arg.substring(equals + 1);
      switch (equals < 0 ? arg : arg.substring(0, equals)) {
        case "--twin" -> twin = Path.of(value);
        case "--json" -> json = Path.of(value);
        case "--rounds" -> rounds = number(arg, value, 1000);
        case "--seconds" -> seconds = number(arg, value, 3600);
        case "--batch" -> batch = number(arg, value, 32);
        case "--threads" -> threads = List.of(value.split(","));
        default -> throw new IllegalArgumentException("unknown option " + arg);
      }
    }
    for (String count : threads) {
      int n = number("--threads", count, 2);
      if (n > cpus.size()) {
        System.err.println("bench: no measurement with two threads: there is one processor");
        continue;
      }
      addCases(n);
    }
  }

  /** The two formats of a case follow each other, so that they are measured at about one time. */
  private void addCases(int count) {
    for (boolean indirect : new boolean[] {false, true}) {
      for (boolean eventIdx : new boolean[] {false, true}) {
        RingCase split = new RingCase(count, null, indirect, eventIdx);
        cases.add(split);
        cases.add(new RingCase(count, split, indirect, eventIdx));
      }
    }
  }

  private static int number(String arg, String value, int most) {
    int number = Integer.parseInt(value);
    if (number < 1 || number > most) {
      throw new IllegalArgumentException(arg + " must be 1 to " + most);
    }
    return number;
  }

  /** Measures, and prints a table; exit code 0, 1 when something failed, 2 on wrong usage. */
  public static void main(String[] args) throws InterruptedException {
    RingBench bench;
    try {
      bench = new RingBench(args);
    } catch (IllegalArgumentException e) {
      System.err.println("bench: " + e.getMessage());
      System.err.print(USAGE);
      System.exit(2);
      return;
    } catch (IOException e) {
      System.err.println("bench: " + e.getMessage());
      System.exit(1);
      return;
    }
    try {
      bench.run();
    } catch (IOException e) {
      System.err.println("bench: " + e.getMessage());
      System.exit(1);
    }
  }

  private void run() throws IOException, InterruptedException {
    for (int round = 1; round <= rounds; round++) {
      System.err.printf("bench: round %d of %d%n", round, rounds);
      for (RingCase one : cases) {
        // Who comes first alternates as well.
        if (round % 2 == 0) {
          measureC(one);
        }
        measureJava(one);
        if (round % 2 == 1) {
          measureC(one);
        }
      }
    }
    System.out.printf(
        "batches of %d requests, %d rounds of %d s: median ns for a request, both sides together"
            + " [lowest..highest],%nprocessor time with one thread, by the clock with two;"
            + " ratio: how fast Java is where C is 1, of the medians%n[lowest..highest round];"
            + " to split: how fast packed Java is where split Java is 1%n%n",
        batch, rounds, seconds);
    System.out.println(RingCase.HEAD);
    for (RingCase one : cases) {
      System.out.println(one.row());
    }
    if (json != null) {
      Files.writeString(json, RingCase.json(cases, batch));
    }
  }

  private void measureJava(RingCase one) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    // As the start script has it.
    command.add("-XX:+UseSerialGC");
    command.add("-Xmx64m");
    command.add("-XX:-UsePerfData");
    command.add("--enable-native-access=ALL-UNNAMED");
    command.add("-cp");
    command.add(System.getProperty("java.class.path"));
    command.add(RingTwin.class.getName());
    one.java().add(nanos(one, command, JAVA_WARMUP));
  }

  private void measureC(RingCase one) throws IOException, InterruptedException {
    if (twin != null) {
      one.c().add(nanos(one, List.of(twin.toString()), C_WARMUP));
    }
  }

  private double nanos(RingCase one, List<String> program, int warmup)
      throws IOException, InterruptedException {
    // The last processor: the first one is where interrupts go.
    int cpu = cpus.getLast();
    int peer = one.threads() == 2 ? cpus.get(cpus.size() - 2) : -1;
    RingTwinOptions options =
        new RingTwinOptions(
            one.threads(),
            one.packed(),
            one.indirect(),
            one.eventIdx(),
            batch,
            one.size(),
            warmup,
            1000L * seconds,
            cpu,
            peer);
    List<String> command = new ArrayList<>(program);
    command.addAll(options.command());
    String output = Commands.run(command);
    Matcher found = NS.matcher(output);
    if (!found.find()) {
      throw new IOException(program.getFirst() + " said: " + output.strip());
    }
    one.share(Double.parseDouble(found.group(2)));
    return Double.parseDouble(found.group(1));
  }
}
