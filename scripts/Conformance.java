// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.lang.classfile.Annotation;
import java.lang.classfile.AnnotationElement;
import java.lang.classfile.AnnotationValue;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.MethodModel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Joins the list of requirements with the tests that show them, and writes docs/conformance.md.
 *
 * <p>A test names its requirements with the annotation {@code io.jvirtio.testkit.Requirement},
 * which is read from its class file; that it ran and passed is read from the reports of Surefire.
 */
final class Conformance {
  private static final Path LIST =
      Path.of("jvirtio-testkit/src/main/resources/io/jvirtio/testkit/requirements.txt");
  private static final Path DOCUMENT = Path.of("docs/conformance.md");
  private static final String ONE = "Lio/jvirtio/testkit/Requirement;";
  private static final String MANY = "Lio/jvirtio/testkit/Requirements;";
  private static final Pattern TESTCASE =
      Pattern.compile("<testcase ([^>]*?)(/>|>(.*?)</testcase>)", Pattern.DOTALL);
  private static final Pattern NAME = Pattern.compile("(?<![a-z])name=\"([^\"({\\[]*)");
  private static final Pattern CLASS = Pattern.compile("classname=\"([^\"\\[]*)");
  private static final Pattern BAD = Pattern.compile("<(failure|error|skipped)\\b");

  /** A requirement, and the tests that show it; the reason is why there is none, or null. */
  private static final class Entry {
    final String text;
    final Set<String> tests = new TreeSet<>();
    String reason;

    Entry(String text, String reason) {
      this.text = text;
      this.reason = reason;
    }
  }

  private final Path root;
  private final Map<String, List<Entry>> sections = new LinkedHashMap<>();
  private final Set<String> passed = new HashSet<>();
  private final Set<String> failed = new HashSet<>();
  private final List<String> problems = new ArrayList<>();

  private Conformance(Path root) {
    this.root = root;
  }

  /** The root of the project, and {@code --check} to compare instead of writing. */
  public static void main(String[] args) throws IOException {
    boolean check = args.length == 2 && args[1].equals("--check");
    if (args.length != 1 && !check) {
      System.err.println("usage: scripts/conformance [--check]");
      System.exit(2);
    }
    System.exit(new Conformance(Path.of(args[0])).run(check));
  }

  private int run(boolean check) throws IOException {
    readList();
    readReports();
    readTests();
    judge();
    String document = document();
    if (check) {
      Path file = root.resolve(DOCUMENT);
      if (!Files.exists(file) || !Files.readString(file).equals(document)) {
        problems.add(DOCUMENT + " is not what the tests say: run scripts/conformance");
      }
    } else {
      Files.createDirectories(root.resolve(DOCUMENT).getParent());
      Files.writeString(root.resolve(DOCUMENT), document);
    }
    problems.forEach(System.err::println);
    long shown = entries().filter(e -> !e.tests.isEmpty()).count();
    System.out.printf("%d requirements, %d shown by tests%n", entries().count(), shown);
    return problems.isEmpty() ? 0 : 1;
  }

  private Stream<Entry> entries() {
    return sections.values().stream().flatMap(List::stream);
  }

  private void readList() throws IOException {
    List<Entry> section = null;
    String common = null;
    for (String line : Files.readAllLines(root.resolve(LIST))) {
      if (line.startsWith("## ")) {
        section = new ArrayList<>();
        common = null;
        if (sections.put(line.substring(3), section) != null) {
          throw new IOException(LIST + ": twice: " + line);
        }
      } else if (line.startsWith("* ")) {
        section.add(new Entry(line.substring(2), common));
      } else if (line.startsWith("! ") && section.isEmpty()) {
        common = line.substring(2);
      } else if (line.startsWith("! ")) {
        section.getLast().reason = line.substring(2);
      } else if (!line.isBlank() && !line.startsWith("#")) {
        throw new IOException(LIST + ": " + line);
      }
    }
  }

  /** The modules' target folders. */
  private List<Path> inTargets(String folder, String suffix) throws IOException {
    List<Path> files = new ArrayList<>();
    try (Stream<Path> modules = Files.list(root)) {
      for (Path module : modules.sorted().toList()) {
        Path start = module.resolve("target").resolve(folder);
        if (Files.isDirectory(start)) {
          try (Stream<Path> walk = Files.walk(start)) {
            walk.filter(file -> file.toString().endsWith(suffix)).sorted().forEach(files::add);
          }
        }
      }
    }
    return files;
  }

  private void readReports() throws IOException {
    for (Path report : inTargets("surefire-reports", ".xml")) {
      Matcher test = TESTCASE.matcher(Files.readString(report));
      while (test.find()) {
        Matcher name = NAME.matcher(test.group(1));
        Matcher type = CLASS.matcher(test.group(1));
        if (name.find() && type.find()) {
          boolean bad = test.group(3) != null && BAD.matcher(test.group(3)).find();
          (bad ? failed : passed).add(type.group(1) + "." + name.group(1));
        }
      }
    }
  }

  private void readTests() throws IOException {
    for (Path file : inTargets("test-classes", ".class")) {
      ClassModel type = ClassFile.of().parse(file);
      for (MethodModel method : type.methods()) {
        method
            .findAttribute(Attributes.runtimeVisibleAnnotations())
            .ifPresent(all -> all.annotations().forEach(a -> annotation(type, method, a)));
      }
    }
  }

  private void annotation(ClassModel type, MethodModel method, Annotation annotation) {
    String kind = annotation.classSymbol().descriptorString();
    if (kind.equals(MANY)) {
      AnnotationValue.OfArray array =
          (AnnotationValue.OfArray) annotation.elements().getFirst().value();
      for (AnnotationValue one : array.values()) {
        annotation(type, method, ((AnnotationValue.OfAnnotation) one).annotation());
      }
    } else if (kind.equals(ONE)) {
      String name = type.thisClass().asInternalName().replace('/', '.');
      add(
          name + "." + method.methodName(),
          element(annotation, "section"),
          element(annotation, "text"));
    }
  }

  private static String element(Annotation annotation, String name) {
    for (AnnotationElement element : annotation.elements()) {
      if (element.name().equalsString(name)) {
        return ((AnnotationValue.OfString) element.value()).stringValue();
      }
    }
    throw new IllegalArgumentException("no " + name);
  }

  private void add(String test, String section, String text) {
    Entry entry =
        sections.getOrDefault(section, List.of()).stream()
            .filter(e -> e.text.equals(text))
            .findFirst()
            .orElse(null);
    if (entry == null) {
      problems.add(test + " shows what " + LIST + " does not list: " + section + ": " + text);
    } else if (failed.contains(test) || !passed.contains(test)) {
      problems.add(test + " did not pass, or did not run: run the tests first");
    } else {
      entry.tests.add(test);
    }
  }

  private void judge() {
    sections.forEach(
        (section, list) -> {
          for (Entry entry : list) {
            String what = section + ": " + entry.text;
            if (entry.tests.isEmpty() && entry.reason == null) {
              problems.add("no test shows, and no reason is given: " + what);
            } else if (!entry.tests.isEmpty() && entry.reason != null) {
              problems.add("a test shows what has a reason not to be shown: " + what);
            }
          }
        });
  }

  private String document() {
    StringBuilder out = new StringBuilder();
    out.append(
        """
        # Conformance

        What virtio 1.4 demands of devices and drivers, for the facilities that are implemented here, and the
        tests that show it. Generated by `scripts/conformance` from the annotation `@Requirement` of the tests that passed
        and from `requirements.txt` of jvirtio-testkit; `./verify` fails when it is out of date, and when a
        requirement has neither a test nor a reason.
        """);
    sections.forEach(
        (section, list) -> {
          out.append("\n## ").append(section).append("\n\n");
          out.append("| requirement | shown by |\n|---|---|\n");
          for (Entry entry : list) {
            out.append("| ").append(escape(entry.text)).append(" | ");
            out.append(entry.tests.isEmpty() ? why(entry) : tests(entry)).append(" |\n");
          }
        });
    return out.toString();
  }

  private static String why(Entry entry) {
    return entry.reason == null ? "**nothing**" : "not shown: " + escape(entry.reason);
  }

  private static String tests(Entry entry) {
    List<String> names = new ArrayList<>();
    for (String test : entry.tests) {
      String[] parts = test.split("\\.");
      names.add("`" + parts[parts.length - 2] + "." + parts[parts.length - 1] + "`");
    }
    return String.join("<br>", names);
  }

  private static String escape(String text) {
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;");
  }
}
