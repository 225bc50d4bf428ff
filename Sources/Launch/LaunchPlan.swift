/// A program that is to run with an iommufd and devices of its own.
public struct LaunchPlan: Sendable, Equatable {
    /// What the command line cannot say.
    public enum Mistake: Error, Equatable, CustomStringConvertible {
        /// There is nothing to run.
        case noCommand
        /// A device is named twice.
        case twice(String)
        /// A name that would mean something else to the program.
        case badName(String)
        /// The program is told by iommuctl what it says itself.
        case ownOption(String)

        public var description: String {
            switch self {
            case .noCommand: "there is no program to run; put it behind --"
            case .twice(let name): "device \(name) is named twice"
            case .badName(let name):
                "“\(name)” is no name of a device: it has a comma, a brace, a blank or nothing in it"
            case .ownOption(let option): "leave \(option) to iommuctl, or write it with {iommufd} and {NAME} yourself"
            }
        }
    }

    /// By name, in order.
    public let devices: [String]
    /// The program and its arguments as they were written.
    public let command: [String]
    /// How it is told.
    public let dialect: Dialect

    /// The number of the first descriptor: the iommufd. Those of the devices follow in order.
    public static let firstDescriptor: Int32 = 3

    /// - Throws: what is wrong with it.
    public init(devices: [String], command: [String], dialect: Dialect) throws(Mistake) {
        guard !command.isEmpty || dialect == .libvirt else { throw .noCommand }
        for (index, name) in devices.enumerated() {
            guard Self.isName(name) else { throw .badName(name) }
            guard !devices[..<index].contains(name) else { throw .twice(name) }
        }
        if dialect == .cloudHypervisor, command.contains("--device") { throw .ownOption("--device") }
        (self.devices, self.command, self.dialect) = (devices, command, dialect)
    }

    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && !name.unicodeScalars.contains { ",{}<>&'\"".unicodeScalars.contains($0) || $0.value <= 0x20 }
    }

    /// The devices whose nodes the program inherits.
    public var exported: [String] { dialect.takesDevices ? devices : [] }

    /// The number of the iommufd in the program.
    public var iommufd: Int32 { Self.firstDescriptor }

    /// The number of a device's node in the program: `index` is its place among ``devices``.
    public func descriptor(ofDevice index: Int) -> Int32 { Self.firstDescriptor + 1 + Int32(index) }

    /// The program and its arguments, told of its descriptors.
    public var arguments: [String] {
        let told = command.map(substituted)
        switch dialect {
        case .plain, .libvirt: return told
        case .qemu: return told + qemuArguments
        case .cloudHypervisor: return cloudHypervisorArguments(told)
        }
    }

    private func substituted(_ argument: String) -> String {
        var text = argument.replacing("{iommufd}", with: String(iommufd))
        for (index, name) in exported.enumerated() {
            text = text.replacing("{\(name)}", with: String(descriptor(ofDevice: index)))
        }
        return text
    }

    /// Both objects have an id: what has none cannot be named in the monitor, nor taken out again.
    private var qemuArguments: [String] {
        ["-object", "iommufd,id=iommufd0,fd=\(iommufd)"]
            + devices.indices.flatMap {
                ["-device", "vfio-pci,id=hostdev\($0),fd=\(descriptor(ofDevice: $0)),iommufd=iommufd0"]
            }
    }

    /// A platform that is there already gets one more property: the option may be given once.
    private func cloudHypervisorArguments(_ command: [String]) -> [String] {
        var arguments = command
        let property = "iommufd_fd=\(iommufd)"
        if let place = arguments.firstIndex(of: "--platform"), place + 1 < arguments.count {
            arguments[place + 1] += ",\(property)"
        } else {
            arguments += ["--platform", property]
        }
        let nodes = devices.indices.map { "fd=\(descriptor(ofDevice: $0))" }
        return nodes.isEmpty ? arguments : arguments + ["--device"] + nodes
    }
}

extension StringProtocol {
    /// All places of a text replaced.
    fileprivate func replacing(_ part: String, with other: String) -> String {
        var result = ""
        var rest = self[...]
        while let found = rest.firstRange(of: part) {
            result += rest[..<found.lowerBound]
            result += other
            rest = rest[found.upperBound...]
        }
        return result + rest
    }

    /// Where a text is first found.
    private func firstRange(of part: String) -> Range<Index>? {
        guard !part.isEmpty else { return nil }
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(part) { return start..<index(start, offsetBy: part.count) }
            start = index(after: start)
        }
        return nil
    }
}
