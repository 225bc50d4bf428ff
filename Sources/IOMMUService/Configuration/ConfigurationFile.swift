import ConfigurationTOML
import Glibc
import LinuxIO
import IOMMU

/// Reading of a configuration file.
package enum ConfigurationFile {
    /// What a service reads when nothing else is said. It need not exist.
    package static let standardPath = "/etc/iommud/iommud.toml"

    /// Bytes a file may have: far above any real one, far below what would hurt.
    static let sizeLimit = 4 << 20

    /// Reads a file.
    ///
    /// - Parameter path: nil: the standard file if there is one, else the built-in defaults.
    package static func load(_ path: String?) throws(ConfigurationError) -> Configuration {
        guard path != nil || access(standardPath, F_OK) == 0 else { return Configuration() }
        let file = path ?? standardPath
        return try parse(try text(of: file), file: file)
    }

    /// What a file says, unread; nil: there is none, or it cannot be read.
    ///
    /// - Parameter path: as ``load(_:)`` takes it.
    package static func text(_ path: String?) -> String? { try? text(of: path ?? standardPath) }

    /// Reads text; `file` is what errors call it. All mistakes are thrown at once, the first with the others.
    package static func parse(_ text: String, file: String) throws(ConfigurationError) -> Configuration {
        let mistakes = ConfigurationMistakes()
        var root = ConfigurationSection(file: file, path: "", table: try table(text, file: file), mistakes: mistakes)
        var configuration = Configuration()
        var daemon = root.section("daemon")
        var backend = root.section("backend")
        var limits = root.section("limits")
        let allow = root.sections("allow")
        let shares = root.sections("share")
        let smmus = root.sections("smmu")
        let devices = root.sections("device")
        root.finish()

        configuration.daemon = DaemonConfiguration(&daemon)
        configuration.backend = BackendConfiguration(&backend)
        configuration.shares.fraction = limits.fraction("share") ?? configuration.shares.fraction
        configuration.limits = LimitsConfiguration(&limits)
        for var share in shares ?? [] { configuration.shares.add(&share) }
        configuration.access.rules = each(allow ?? [], AllowRules.rule)
        configuration.topology = TopologyReader.read(smmus: smmus, devices: devices, file: file, mistakes: mistakes)
        try mistakes.check()
        return configuration
    }

    /// `map` that lets the element be consumed.
    static func each<Value>(
        _ sections: [ConfigurationSection], _ read: (inout ConfigurationSection) -> Value
    ) -> [Value] {
        var values: [Value] = []
        for var section in sections { values.append(read(&section)) }
        return values
    }

    private static func table(_ text: String, file: String) throws(ConfigurationError) -> ConfigurationTable {
        do {
            return try TOMLText.parse(text)
        } catch {
            let place = error.position.map { ConfigurationError.Place.position(line: $0.line, column: $0.column) }
            throw ConfigurationError(
                file: file, place ?? .file, error.problem, remedy: "correct the syntax (https://toml.io)")
        }
    }

    static func text(of file: String) throws(ConfigurationError) -> String {
        let bytes = try bytes(of: file)
        if let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) { return text }
        let place = firstBadByte(bytes)
        throw ConfigurationError(file: file, place, "this is not UTF-8 text", remedy: "save the file as UTF-8")
    }

    private static func bytes(of file: String) throws(ConfigurationError) -> [UInt8] {
        func failure(_ number: CInt) -> ConfigurationError {
            let problem = "cannot read it: " + String(cString: strerror(number))
            return ConfigurationError(
                file: file, .file, problem, remedy: "check the path and its permissions", errno: number)
        }
        let opened: Descriptor
        do throws(SystemError) { opened = try Descriptor(opening: file, O_RDONLY) } catch { throw failure(error.errno) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(opened.number, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure(errno) }
            guard count > 0 else { return bytes }
            bytes += buffer.prefix(count)
            guard bytes.count <= sizeLimit else { throw failure(EFBIG) }
        }
    }

    private static func firstBadByte(_ bytes: [UInt8]) -> ConfigurationError.Place {
        var line = 1
        for row in bytes.split(separator: 0x0a, omittingEmptySubsequences: false) {
            if String(validating: row, as: UTF8.self) == nil || row.contains(0) {
                let column = row.indices.first { index in
                    row[index] == 0 || String(validating: row[row.startIndex...index], as: UTF8.self) == nil
                }
                // A character cut in the middle looks bad from its first byte on.
                return .position(line: line, column: (column ?? row.startIndex) - row.startIndex + 1)
            }
            line += 1
        }
        return .file
    }
}
