package landfall

default list := false

# Searches the rules one after the other.
list if {
	some rule in data.rules.list
	rule.namespace in {input.workflow, ""}
	some cluster in rule.clusterNames
	cluster in {input.cluster, ""}
	some namespace in rule.namespaces
	namespace in {input.namespace, ""}
}

default look_ups := false

# Looks the names up. With `some workflow in [input.workflow, ""]` and so on in place of eight rules, most answers took longer,
# up to four times.
look_ups if data.rules.allowed[input.workflow][input.cluster][input.namespace]

look_ups if data.rules.allowed[input.workflow][input.cluster][""]

look_ups if data.rules.allowed[input.workflow][""][input.namespace]

look_ups if data.rules.allowed[input.workflow][""][""]

look_ups if data.rules.allowed[""][input.cluster][input.namespace]

look_ups if data.rules.allowed[""][input.cluster][""]

look_ups if data.rules.allowed[""][""][input.namespace]

look_ups if data.rules.allowed[""][""][""]
