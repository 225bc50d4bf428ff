/// Giving devices to vfio, and back to their drivers: with all functions of the group, which go together.
public struct DriverChange {
    /// The driver that lets a program have a device.
    public static let vfio = "vfio-pci"
    /// Where is remembered who had them; gone after a reboot, as the change is.
    public static let memory = "/run/iommud-drivers"

    /// What is to become of one function.
    public enum Step: Equatable, Sendable {
        /// vfio gets it from this driver; nil: nobody has it.
        case take(String?)
        /// It goes back to this driver; nil: to whoever fits.
        case giveBack(String?)
        /// It stays as it is, for this reason.
        case leave(String)
    }

    /// Why nothing is done.
    public enum Refusal: Error, Equatable {
        /// There is no such function.
        case unknown(String)
        /// No IOMMU translates for it.
        case noGroup(String)
        /// The kernel has no vfio-pci: the module is not loaded.
        case noVFIO
        /// The machine needs it, for these reasons; only by force.
        case inUse([(name: String, reason: String)])
        /// A write failed on the way; what was done before is undone.
        case failed(name: String, FileProblem)

        public static func == (left: Refusal, right: Refusal) -> Bool { "\(left)" == "\(right)" }
    }

    /// What becomes of each function, in the order of their names.
    public let steps: [(function: PCIFunction, step: Step)]
    private let files: any MachineFiles

    /// Looks what giving a device to vfio means; nothing is done.
    ///
    /// - Parameter isForced: also what the machine needs.
    public init(taking name: String, isForced: Bool, files: any MachineFiles) throws(Refusal) {
        self.files = files
        let siblings = try Self.group(of: name, files)
        guard !files.names(in: "/sys/bus/pci/drivers/\(Self.vfio)").isEmpty else { throw .noVFIO }
        steps = siblings.map { function in
            if function.isBridge { return (function, .leave("a bridge stays with its driver")) }
            if function.driver == Self.vfio { return (function, .leave("\(Self.vfio) has it already")) }
            return (function, .take(function.driver))
        }
        guard !isForced else { return }
        var needed: [(name: String, reason: String)] = []
        for case (let function, .take) in steps { needed += function.uses.map { (function.name, $0) } }
        guard needed.isEmpty else { throw .inUse(needed) }
    }

    /// Looks what giving a device back means.
    public init(releasing name: String, files: any MachineFiles) throws(Refusal) {
        self.files = files
        steps = try Self.group(of: name, files).map { function in
            let isTaken = function.driver == Self.vfio || function.override == Self.vfio
            guard isTaken else { return (function, .leave("\(function.driver ?? "nobody") has it")) }
            let former = files.text("\(Self.memory)/\(function.name)").flatMap { $0.isEmpty ? nil : $0 }
            return (function, .giveBack(former))
        }
    }

    private static func group(of name: String, _ files: any MachineFiles) throws(Refusal) -> [PCIFunction] {
        guard let function = PCIFunction(name, files: files) else { throw .unknown(name) }
        guard function.group != nil else { throw .noGroup(name) }
        return function.siblings
    }

    /// Whether there is anything to do.
    public var isNeeded: Bool { steps.contains { if case .leave = $0.step { false } else { true } } }

    // MARK: Doing it

    /// All steps, or none of them. One that was done before is not done again.
    public func carryOut() throws(Refusal) {
        var done: [(function: PCIFunction, former: String?)] = []
        for (function, step) in steps {
            do throws(FileProblem) {
                switch step {
                case .take(let former):
                    done.append((function, former))
                    try take(function, from: former)
                case .giveBack(let former): try giveBack(function, to: former)
                case .leave: break
                }
            } catch {
                for (function, former) in done.reversed() { try? giveBack(function, to: former) }
                throw .failed(name: function.name, error)
            }
        }
    }

    private func take(_ function: PCIFunction, from former: String?) throws(FileProblem) {
        try files.makeDirectory(Self.memory)
        try files.write(former ?? "", to: "\(Self.memory)/\(function.name)")
        try files.write(Self.vfio, to: "\(function.directory)/driver_override")
        try move(function, from: former)
        guard function.driver == Self.vfio else {
            throw FileProblem(path: "/sys/bus/pci/drivers/\(Self.vfio)", errno: Self.notTaken)
        }
    }

    private func giveBack(_ function: PCIFunction, to former: String?) throws(FileProblem) {
        // An empty line takes the override away.
        try files.write("\n", to: "\(function.directory)/driver_override")
        try move(function, from: function.driver == former ? nil : function.driver)
        if let former, function.driver != former {
            try files.write(function.name, to: "/sys/bus/pci/drivers/\(former)/bind")
        }
        files.remove("\(Self.memory)/\(function.name)")
    }

    private func move(_ function: PCIFunction, from driver: String?) throws(FileProblem) {
        if let driver { try files.write(function.name, to: "/sys/bus/pci/drivers/\(driver)/unbind") }
        if function.driver == nil { try files.write(function.name, to: "/sys/bus/pci/drivers_probe") }
    }

    /// ENODEV: the driver did not take it.
    private static let notTaken: Int32 = 19
}
