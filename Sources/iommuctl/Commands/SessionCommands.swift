import ArgumentParser
import JSONRPC

/// `iommuctl sessions`
struct SessionsCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions", abstract: "List your sessions; an administrator sees all.")

    @OptionGroup var options: GlobalOptions

    func run(on daemon: Daemon) throws {
        options.output.show(try daemon.call("session.list"))
    }
}

/// `iommuctl objects SESSION`
struct ObjectsCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "objects", abstract: "Show the objects of a named session and how they refer to each other.")

    @OptionGroup var options: GlobalOptions
    @OptionGroup var other: SessionOption
    @OptionGroup var picture: PictureOptions

    @Argument(help: "The session's name; in a shell, by default the session that one is in.")
    var session: String?

    func run(on daemon: Daemon) throws {
        if let session {
            try daemon.enter(session: session, create: false)
        } else {
            try other.enter(daemon, create: false)
        }
        let result = try daemon.call("session.objects")
        guard picture.svg || picture.dot || options.output == .table else { return options.output.show(result) }
        var graph = ObjectGraph(result)
        try graph.addMappedMemory(daemon)
        guard !picture.draw({ ObjectPicture(graph, of: daemon.session).picture }) else { return }
        StandardOutput.write(graph.text)
    }
}
