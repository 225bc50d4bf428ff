import Launch

/// A machine whose drivers come and go as the kernel has them do.
final class PlayedMachine: MachineFiles {
    struct Function {
        var driver: String?
        var classCode = "0x020000"
        var group: String? = "7"
        var override = "(null)"
        /// Drivers that know it without being told.
        var fitting: String?
    }

    var functions: [String: Function] = [:]
    var drivers: Set<String> = ["vfio-pci", "igb", "nvme", "pcieport"]
    /// Other files, and directories by their names.
    var contents: [String: String] = [:]
    var directories: [String: [String]] = [:]
    /// Writes that fail, by the end of their path and the text.
    var failing: (path: String, text: String)?
    private(set) var log: [String] = []

    private func function(_ path: String) -> (name: String, rest: String)? {
        let root = "/sys/bus/pci/devices/"
        guard path.hasPrefix(root) else { return nil }
        let parts = path.dropFirst(root.count).split(separator: "/", maxSplits: 1)
        guard let name = parts.first.map(String.init), functions[name] != nil else { return nil }
        return (name, parts.count > 1 ? String(parts[1]) : "")
    }

    func text(_ path: String) -> String? {
        if let text = contents[path] { return text }
        guard let (name, rest) = function(path), let function = functions[name] else { return nil }
        switch rest {
        case "vendor": return "0x8086"
        case "class": return function.classCode
        case "driver_override": return function.override
        default: return nil
        }
    }

    func link(_ path: String) -> String? {
        guard let (name, rest) = function(path) else { return nil }
        return rest == "driver" ? functions[name]?.driver : rest == "iommu_group" ? functions[name]?.group : nil
    }

    func names(in path: String) -> [String] {
        if let names = directories[path] { return names }
        if let (name, rest) = function(path), rest == "iommu_group/devices", let group = functions[name]?.group {
            return functions.filter { $0.value.group == group }.keys.sorted()
        }
        let driver =
            path.hasPrefix("/sys/bus/pci/drivers/") ? String(path.dropFirst("/sys/bus/pci/drivers/".count)) : ""
        return drivers.contains(driver) ? ["bind", "unbind"] : []
    }

    func write(_ text: String, to path: String) throws(FileProblem) {
        if let failing, path.hasSuffix(failing.path), text == failing.text { throw FileProblem(path: path, errno: 16) }
        log.append("\(text == "\n" ? "" : text) > \(path)")
        if let (name, rest) = function(path), rest == "driver_override" {
            functions[name]?.override = text == "\n" ? "(null)" : text
        } else if path == "/sys/bus/pci/drivers_probe", let function = functions[text] {
            let wanted = function.override == "(null)" ? function.fitting : function.override
            if let wanted, drivers.contains(wanted) { functions[text]?.driver = wanted }
        } else if path.hasPrefix("/sys/bus/pci/drivers/") {
            let driver = String(path.split(separator: "/")[4])
            functions[text]?.driver = path.hasSuffix("/unbind") ? nil : driver
        } else {
            contents[path] = text
        }
    }

    func remove(_ path: String) { contents[path] = nil }
    func makeDirectory(_ path: String) throws(FileProblem) {}
}
